//! Secrets in a tool's command line, as `xtrabackup_info` and the tool's log repeat it.
//!
//! The tools join their arguments by blanks and quote nothing: where a value ends isn't known, so all up to
//! the next option is taken for it.

/// Options whose values are secret, without dashes, each with as many letters as an abbreviation has at
/// least.
const SECRETS: &[(&str, usize)] = &[
    ("password", 3),
    ("password1", 9),
    ("password2", 9),
    ("password3", 9),
    ("passwd", 3),
    ("encrypt-key", 9),
    ("transition-key", 5),
];

/// What stands instead of a value.
const HIDDEN: &str = "...";

/// Whether an option, with its dashes and without its value, is one whose value is secret.
pub fn is_secret(option: &str) -> bool {
    let Some(name) = option.strip_prefix("--") else { return false };
    let name = name.replace('_', "-");
    let name = name.strip_prefix("loose-").unwrap_or(&name);
    SECRETS.iter().any(|(secret, least)| name.len() >= *least && secret.starts_with(name))
}

/// Whether a value was blanked already.
fn is_hidden(value: &str) -> bool {
    value.chars().all(|c| matches!(c, 'x' | 'X' | '.' | '*' | '\'' | '"'))
}

/// Command lines without the values of secret options.
pub fn scrubbed(text: &str) -> String {
    text.split_inclusive('\n').map(scrubbed_line).collect()
}

/// `xtrabackup_info` without the values of secret options in `tool_command`.
pub fn scrubbed_info(text: &str) -> String {
    let mut command = false;
    text.split_inclusive('\n')
        .map(|line| {
            // A value with a line break in it goes on in the next line.
            command = super::metadata::key_of(line).map_or(command, |key| key == "tool_command");
            if command { scrubbed_line(line) } else { line.to_string() }
        })
        .collect()
}

/// Whether a secret is still to be read in a command line.
pub fn tells(line: &str) -> bool {
    scrubbed(line) != line
}

fn scrubbed_line(line: &str) -> String {
    let (line, end) = match line.strip_suffix('\n') {
        Some(line) => (line, "\n"),
        None => (line, ""),
    };
    let words: Vec<&str> = line.split(' ').collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let word = words[at];
        at += 1;
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        let short = word.strip_prefix("-p").filter(|_| !word.starts_with("--"));
        let (before, value) = if is_secret(option) {
            (value.map_or(option.to_string(), |_| format!("{option}=")), value)
        } else if let Some(value) = short {
            ("-p".to_string(), Some(value).filter(|value| !value.is_empty()))
        } else {
            out.push(word.to_string());
            continue;
        };
        let first = value.or_else(|| {
            // In the next word, unless that is an option.
            words.get(at).copied().filter(|next| !next.starts_with('-'))
        });
        if first.is_none_or(is_hidden) {
            out.push(word.to_string());
            continue;
        }
        // All up to what looks like an option; within quotes that, too.
        let quote = first.and_then(|first| first.chars().next()).filter(|c| "'\"".contains(*c));
        let mut last = value.map_or(at, |_| at - 1);
        if let Some(quote) = quote
            && let Some(closes) = (last..words.len())
                .find(|other| words[*other].len() > 1 && words[*other].ends_with(quote))
        {
            last = closes;
        }
        at = last + 1;
        while words.get(at).is_some_and(|next| !next.starts_with('-')) {
            at += 1;
        }
        match value {
            Some(_) => out.push(format!("{before}{HIDDEN}")),
            None => out.extend([before, HIDDEN.to_string()]),
        }
    }
    out.join(" ") + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out() {
        for (line, clean) in [
            ("a --password=geheim\n", "a --password=...\n"),
            ("--pass=geheim --port=1", "--pass=... --port=1"),
            ("--password geheim --host=h", "--password ... --host=h"),
            ("-pgeheim -p geheim --x", "-p... -p ... --x"),
            (
                "--encrypt_key=geheim --encrypt-key-file=/f",
                "--encrypt_key=... --encrypt-key-file=/f",
            ),
            ("--encrypt-key geheim", "--encrypt-key ..."),
            ("--transition_key=geheim", "--transition_key=..."),
            ("--loose-password=geheim --passwd=geheim", "--loose-password=... --passwd=..."),
            ("--password2=geheim", "--password2=..."),
            ("--password='geheim geheim' --host=h", "--password=... --host=h"),
            ("--password=\"geheim --geheim\" --host=h", "--password=... --host=h"),
            ("--password=geheim geheim --host=h", "--password=... --host=h"),
            ("--password='geheim --host=h", "--password=... --host=h"),
        ] {
            assert_eq!(scrubbed(line), clean);
            assert!(tells(line));
            assert!(!clean.contains("geheim") && !tells(clean), "{clean}");
        }
        for plain in [
            "--password= --host=h",
            "--password --host=h",
            "--password=xxxxxxxx /backup",
            "--password=* --port=1 --print-param --parallel=2 --ftwrl-wait-timeout=3",
            "--prepare geheim",
            "",
        ] {
            assert_eq!(scrubbed(plain), plain);
        }
    }

    #[test]
    fn only_the_command_is_touched() {
        let info = "uuid = x\nname = -p secret\ntool_command = --password=geheim\ntool_version = 2 --password=x1\n";
        let clean = scrubbed_info(info);
        assert_eq!(clean, info.replace("geheim", "..."));
        let broken =
            "tool_command = --password=geheim\nge --password=heim --port=1\nserver_version = 8\n";
        assert!(!scrubbed_info(broken).contains("heim"), "{}", scrubbed_info(broken));
    }
}
