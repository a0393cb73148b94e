//! Server URLs and passwords from flags, environment, password files and option files.

use std::path::Path;

use daybreak::{
    config::{Overrides, read_secret},
    error::{Error, Kind, Result},
    mysql::Secret,
};

use crate::cli::Servers;

impl Servers {
    /// What the flags and the environment say, for the configuration.
    pub fn overrides(&self) -> Result<Overrides> {
        let options = self.defaults_file.as_deref().map(OptionFile::read).transpose()?;
        let password = |file: Option<&Path>, variable: &str, group: &str| {
            if let Some(file) = file {
                return read_secret(file).map(Some);
            }
            if let Some(secret) = std::env::var_os(variable).filter(|secret| !secret.is_empty()) {
                return match secret.into_string() {
                    Ok(secret) => Ok(Some(Secret::new(secret))),
                    Err(_) => Err(Error::new(Kind::Config, format!("{variable} isn't UTF-8"))),
                };
            }
            Ok(options.as_ref().and_then(|options| options.password(group)))
        };
        Ok(Overrides {
            source: self.source.clone(),
            target: self.target.clone(),
            source_password: password(
                self.source_password_file.as_deref(),
                "DAYBREAK_SOURCE_PASSWORD",
                "daybreak-source",
            )?,
            target_password: password(
                self.target_password_file.as_deref(),
                "DAYBREAK_TARGET_PASSWORD",
                "daybreak-target",
            )?,
            ..Overrides::default()
        })
    }
}

/// The passwords of a MySQL option file, by group.
struct OptionFile(Vec<(String, String)>);

impl OptionFile {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(Kind::Config, "the option file can't be read")
                .because(error)
                .at(path.display())
        })?;
        Ok(Self::parse(&text))
    }

    /// Source: MySQL manual, *Using Option Files*: groups in brackets, `#` and `;` begin comment
    /// lines, values may be quoted, backslash escapes are known.
    fn parse(text: &str) -> Self {
        let (mut group, mut passwords) = (String::new(), Vec::new());
        for line in text.lines().map(str::trim) {
            if line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                group = name.trim().to_string();
            } else if let Some((key, value)) = line.split_once('=')
                && key.trim() == "password"
            {
                passwords.push((group.clone(), unquote(value.trim())));
            }
        }
        OptionFile(passwords)
    }

    fn password(&self, group: &str) -> Option<Secret> {
        let of = |wanted: &str| self.0.iter().rfind(|(group, _)| group == wanted);
        of(group).or_else(|| of("client")).map(|(_, password)| Secret::new(password.clone()))
    }
}

fn unquote(value: &str) -> String {
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('b') => out.push('\u{8}'),
                Some('s') => out.push(' '),
                Some(other @ ('\\' | '"' | '\'')) => out.push(other),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            },
            (c, false) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_files_are_read() {
        let file = OptionFile::parse(
            "# x\n[client]\npassword = \"a b\"\n[daybreak-source]\npassword='c\\\\d'\nuser=x\n",
        );
        let shown = |group| file.password(group).map(|secret| secret.reveal().to_string());
        assert_eq!(shown("daybreak-source").as_deref(), Some("c\\d"));
        assert_eq!(shown("daybreak-target").as_deref(), Some("a b"));
    }
}
