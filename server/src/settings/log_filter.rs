//! What is logged: this program's own lines, and those of the libraries below it only where they
//! are named.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What the names of the libraries that log begin with. What they say of a request that failed,
/// this program says as well, in a line of its own. With both, an hour without an API server had
/// hundreds of lines that said nothing new.
const LIBRARIES: [&str; 6] = ["h2", "hyper", "kube", "rustls", "tonic", "tower"];

/// The filter for these words of tracing's `EnvFilter`. A level alone is for this program; a
/// library is heard when it is named, as in `info,kube_client=debug`.
pub(crate) fn log_filter(level: &str) -> Result<EnvFilter, ParseError> {
    let mut words: String = LIBRARIES.map(|library| format!("{library}=off,")).concat();
    // The audit log comes at every level, unless it is named.
    words.push_str("audit=info,");
    // What comes later for the same module counts.
    words.push_str(level);
    EnvFilter::builder().parse(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged at this level of what a library and this program say.
    fn logged(level: &str) -> String {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(log_filter(level).unwrap())
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "kube_client::client::builder", "kube's error");
            tracing::debug!(target: "kube_client::client::builder", "kube's detail");
            tracing::warn!(target: "h2::proto", "h2's warning");
            tracing::warn!(target: "leasehold_server::store", "our warning");
            tracing::info!(target: "leasehold_server::driver", "our line");
            tracing::debug!(target: "leasehold_server::mirror", "our detail");
            tracing::info!(target: "audit", "audited");
        });
        let text = written.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn libraries_are_silent_unless_they_are_named() {
        let all = ["audited", "kube's error", "kube's detail", "h2's warning", "our warning", "our line", "our detail"];
        for (level, expected) in [
            ("info", &["audited", "our warning", "our line"][..]),
            ("warn", &["audited", "our warning"]),
            ("error,audit=off", &[]),
            ("trace", &["audited", "our warning", "our line", "our detail"]),
            ("info,leasehold_server::mirror=debug", &["audited", "our warning", "our line", "our detail"]),
            ("info,kube_client=debug", &["audited", "kube's error", "kube's detail", "our warning", "our line"]),
            ("warn,h2=warn,kube=error", &["audited", "kube's error", "h2's warning", "our warning"]),
        ] {
            let text = logged(level);
            for line in all {
                assert_eq!(text.contains(line), expected.contains(&line), "{level}: {line}\n{text}");
            }
        }
        assert!(log_filter("loud==").is_err());
    }
}
