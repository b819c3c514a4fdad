//! `leasehold man`: the manual page of the command, or of one subcommand.

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::output;

/// Headings in the texts below the options that get a section of their own.
const SECTIONS: [&str; 2] = ["Examples:", "Exit codes:"];

pub(crate) fn man(subcommand: Option<&str>) -> anyhow::Result<Exit> {
    output::line(page(subcommand)?.trim_end())?;
    Ok(Exit::Done)
}

fn page(subcommand: Option<&str>) -> anyhow::Result<String> {
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    let command = match subcommand {
        None => all.clone(),
        Some(name) => all.find_subcommand(name).cloned().ok_or_else(|| {
            let names: Vec<_> = all.get_subcommands().map(Command::get_name).collect();
            let message = format!("there is no subcommand {name:?}. There are: {}.", names.join(", "));
            Failure::new(Exit::Usage, message)
        })?,
    };
    let man = Man::new(command.clone());
    let name = command.get_display_name().unwrap_or("leasehold").replace('-', "\\-");
    // clap_mangen leaves out the date, and what follows moves up into its place.
    let title = format!(".TH {name} 1 \"\" \"leasehold {}\" Leasehold\n", env!("CARGO_PKG_VERSION"));
    let mut page = title.into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    let below = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    notes(&below).to_writer(&mut page)?;
    Ok(String::from_utf8(page)?)
}

/// What stands below the options in the help. Lines that are indented there keep their form.
fn notes(text: &str) -> Roff {
    let mut roff = Roff::new();
    if !text.is_empty() && !SECTIONS.iter().any(|heading| text.starts_with(heading)) {
        roff.control("SH", ["NOTES"]);
    }
    let mut keeps_form = false;
    let mut is_new = false;
    for line in text.lines() {
        let is_indented = line.starts_with(' ');
        if is_indented != keeps_form {
            roff.control(if is_indented { "nf" } else { "fi" }, []);
            keeps_form = is_indented;
        }
        if SECTIONS.contains(&line) {
            roff.control("SH", [line.trim_end_matches(':').to_uppercase().as_str()]);
        } else if !line.is_empty() {
            if is_new {
                roff.control("PP", []);
            }
            roff.text([roman(line)]);
        }
        is_new = line.is_empty();
    }
    if keeps_form {
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_its_sections() {
        let page_of = |subcommand| page(subcommand).unwrap();
        let main = page_of(None);
        for part in [".TH leasehold 1", ".SH SYNOPSIS", "leasehold\\-step\\-down(1)", ".SH \"EXIT CODES\""] {
            assert!(main.contains(part), "{part} isn't in {main}");
        }
        let all = Cli::command();
        for subcommand in all.get_subcommands().map(Command::get_name) {
            let page = page_of(Some(subcommand));
            assert!(page.contains(&format!(".TH leasehold\\-{}", subcommand.replace('-', "\\-"))), "{page}");
            assert!(page.contains(".SH EXAMPLES\n"), "{page}");
        }
        assert!(page_of(Some("run")).contains("ELECTION \\-\\- COMMAND"));
        assert!(page(Some("walk")).unwrap_err().to_string().contains("run, campaign"));
    }

    #[test]
    fn what_is_indented_keeps_its_form() {
        let page = notes("Read this.\n\nAnd this.\n\nExamples:\n  a b\n  .c\nAnd that.").to_roff();
        let expected = ".SH NOTES\nRead this.\n.PP\nAnd this.\n.SH EXAMPLES\n.nf\n  a b\n  .c\n.fi\nAnd that.\n";
        assert_eq!(page, expected);
    }
}
