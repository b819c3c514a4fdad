//! The budget of memory: how much there is, and who may have what of it.

use crate::ledger;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// What a server takes whatever it holds, its caches full: the program, the last changes for
/// observers, task tokens, reasons of ends.
const BASE: u64 = 64 << 20;
/// With less, nothing would fit beside that.
pub(crate) const LEAST: u64 = 96 << 20;
/// What an open stream takes: its place in HTTP/2, its task, and its buffers. Measured by `hostile
/// run candidacies`.
const STREAM_BYTES: u64 = 5 << 10;
/// More streams than this are more than anybody has.
const MOST_STREAMS: u64 = 1 << 20;

/// What there is for each of those who can't be trusted with it. Of what is left beside the base,
/// an eighth stays free: memory that was given back isn't always where it is needed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// For candidacies and their words, in bytes.
    pub(crate) candidacies: usize,
    /// For streams, and for what isn't sent.
    pub(crate) ledger: ledger::LedgerLimits,
}

impl Budget {
    /// Of so many bytes in all.
    pub(crate) fn of(max_memory: u64) -> Self {
        let eighth = max_memory.saturating_sub(BASE) / 8;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            candidacies: size(3 * eighth),
            ledger: ledger::LedgerLimits {
                unsent_bytes: size(eighth),
                streams: size((3 * eighth / STREAM_BYTES).clamp(1, MOST_STREAMS)),
            },
        }
    }
}

/// What this process may take unless it is told: the limit of its control group, or else half of
/// the machine's memory.
pub(crate) fn available() -> u64 {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    of_cgroup(Path::new("/sys/fs/cgroup"), &own).unwrap_or_else(half_of_the_machine)
}

/// The lowest limit among a control group and those above it. `own` is what Linux says in
/// `/proc/self/cgroup`.
fn of_cgroup(root: &Path, own: &str) -> Option<u64> {
    let lines = own.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        // The second version has one hierarchy for all, the first one has one for memory.
        match controllers {
            "" => Some((root.to_owned(), "memory.max", path)),
            "memory" => Some((root.join("memory"), "memory.limit_in_bytes", path)),
            _ => None,
        }
    });
    let limits = lines.flat_map(|(root, file, path)| {
        let folder = root.join(path.trim_start_matches('/'));
        // In a container the path may be that of the host, where nothing is to be seen of it.
        let above: Vec<_> =
            folder.ancestors().take_while(|folder| folder.starts_with(&root)).map(Path::to_owned).collect();
        above.into_iter().filter_map(move |folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok())
    });
    // The first version says "no limit" with a number that no machine has.
    limits.min().filter(|limit| *limit < 1 << 60)
}

fn half_of_the_machine() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)) / 2
}

/// A number of bytes as people write it: `512MiB`, `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// Each with its letters, in the order in which they are looked for.
const UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
        let (number, unit) = unit.unwrap_or((text, 1));
        let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| "write it like 512MiB or 2GiB".to_owned())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes % (1 << 20) == 0 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_an_eighth_free() {
        for mib in [96, 128, 512, 4096] {
            let Budget { candidacies, ledger } = Budget::of(mib << 20);
            let streams = ledger.streams as u64 * STREAM_BYTES;
            let all = BASE + candidacies as u64 + ledger.unsent_bytes as u64 + streams;
            let free = (mib << 20) - all;
            assert!(
                free >= ((mib << 20) - BASE) / 8 && free < ((mib << 20) - BASE) / 8 + STREAM_BYTES + 64,
                "{mib}: {free}"
            );
        }
        // The numbers in docs/operations.md.
        let manifest = Budget::of(512 << 20);
        assert_eq!((manifest.candidacies >> 20, manifest.ledger.unsent_bytes >> 20), (168, 56));
        assert_eq!(manifest.ledger.streams, 34_406);
        assert_eq!(Budget::of(u64::MAX).ledger.streams, 1 << 20);
        assert!(Budget::of(0).ledger.streams > 0);
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let size = |text: &str| text.parse::<Size>().map(|size| size.0);
        for (text, bytes) in [
            ("512MiB", 512 << 20),
            ("512Mi", 512 << 20),
            ("2GiB", 2 << 30),
            ("1 GB", 1_000_000_000),
            ("1000kB", 1_000_000),
            ("134217728", 128 << 20),
            ("64B", 64),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1MiB", "1.5GiB", "1TiB", "99999999999GiB", "much"] {
            assert_eq!(size(bad).unwrap_err(), "write it like 512MiB or 2GiB", "{bad}");
        }
        assert_eq!((Size(512 << 20).to_string(), Size(1000).to_string()), ("512 MiB".into(), "1000 bytes".into()));
    }

    #[test]
    fn the_lowest_limit_above_a_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limit = |own: &str| of_cgroup(root.path(), own);
        assert_eq!(limit("0::/\n"), None);
        write("memory.max", "max\n");
        write("pods/memory.max", "1000000\n");
        write("pods/one/memory.max", "2000000\n");
        write("pods/two/memory.max", "500000\n");
        assert_eq!(limit("0::/pods/one\n"), Some(1_000_000));
        assert_eq!(limit("0::/pods/two\n"), Some(500_000));
        assert_eq!(limit("0::/other\n"), None);
        // In a container: what it is called outside isn't there, and the root is its own.
        write("memory.max", "700000\n");
        assert_eq!(limit("0::/kubepods.slice/pod7/container\n"), Some(700_000));
        write("memory/docker/a/memory.limit_in_bytes", "300000\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit("4:cpu,cpuacct:/docker/a\n3:memory:/docker/a\n"), Some(300_000));
        assert_eq!(limit("3:memory:/docker/b\n"), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available() > 1 << 20, "{}", available());
    }
}
