//! Which scripts run: `-b`, `-f`, `-N` and `-S`, numbered in the order in which they stand.

use std::fs;
use std::io::Read as _;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::PgbenchOptionsError;
use crate::pgbench::{self, Source};

/// The options that add a script.
#[derive(Debug)]
pub(super) struct ScriptOptions(Vec<ScriptOption>);

#[derive(Debug)]
enum ScriptOption {
    /// A built-in by the beginning of its name, maybe with a weight.
    Builtin(String),
    /// A file, maybe with a weight.
    File(String),
}

const BUILTIN: &str = "builtin";
const FILE: &str = "file";
/// The options without a value, with the built-in that each of them is.
const SHORTHANDS: [(&str, char, &str, &str); 2] = [
    ("skip-some-updates", 'N', "simple-update", "The built-in script simple-update"),
    ("select-only", 'S', "select-only", "The built-in script select-only"),
];

impl Args for ScriptOptions {
    fn augment_args(command: Command) -> Command {
        let added = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Append);
        let builtin = added(BUILTIN).short('b').aliases(["b", "bu"]).value_name("NAME[@WEIGHT]");
        let file = added(FILE).short('f').value_name("FILE[@WEIGHT]");
        let shorthands = SHORTHANDS.map(|(name, short, builtin, help)| {
            added(name).short(short).num_args(0).default_missing_value(builtin).help(help)
        });
        command
            .arg(builtin.help(
                "A built-in script, by the beginning of its name, with a weight if several are to run; \
                 `list` lists them [default: tpcb-like]",
            ))
            .arg(file.help("A script, with a weight if several are to run"))
            .args(shorthands)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ScriptOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let of = |name: &str, option: fn(String) -> ScriptOption| {
            let values = matches.get_many::<String>(name).into_iter().flatten().cloned();
            let places = matches.indices_of(name).into_iter().flatten();
            places.zip(values.map(option)).collect::<Vec<_>>()
        };
        let mut all = of(FILE, ScriptOption::File);
        all.extend(of(BUILTIN, ScriptOption::Builtin));
        all.extend(SHORTHANDS.iter().flat_map(|(name, ..)| of(name, ScriptOption::Builtin)));
        all.sort_by_key(|(place, _)| *place);
        Ok(Self(all.into_iter().map(|(_, option)| option).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl ScriptOptions {
    /// Whether the built-in scripts are to be listed.
    pub(super) fn asks_for_list(&self) -> bool {
        let is_list =
            |option: &ScriptOption| matches!(option, ScriptOption::Builtin(name) if name == "list");
        self.0.iter().any(is_list)
    }

    /// The scripts, and whether one of them is built in; tpcb-like where none is named.
    pub(super) fn read(&self) -> Result<(Vec<Source>, bool), PgbenchOptionsError> {
        let default = [ScriptOption::Builtin("tpcb-like".into())];
        let options = if self.0.is_empty() { &default[..] } else { &self.0 };
        let has_builtin = options.iter().any(|option| matches!(option, ScriptOption::Builtin(_)));
        let scripts = options.iter().map(ScriptOption::read).collect::<Result<Vec<_>, _>>()?;
        if scripts.iter().all(|script| script.weight == 0) {
            let message = "total script weight must not be zero";
            return Err(PgbenchOptionsError::Other(message.into()));
        }
        Ok((scripts, has_builtin))
    }
}

impl ScriptOption {
    fn read(&self) -> Result<Source, PgbenchOptionsError> {
        match self {
            Self::Builtin(name) => {
                let (name, weight) = weighted(name)?;
                let builtin = pgbench::find(name).map_err(PgbenchOptionsError::Other)?;
                Ok(Source::new(builtin.title.into(), builtin.text.into(), weight))
            }
            Self::File(file) => {
                let (path, weight) = weighted(file)?;
                let failed = |source| PgbenchOptionsError::File { path: path.into(), source };
                let mut bytes = Vec::new();
                match path {
                    "-" => _ = std::io::stdin().read_to_end(&mut bytes).map_err(failed)?,
                    path => bytes = fs::read(path).map_err(failed)?,
                }
                Ok(Source::new(path.into(), bytes, weight))
            }
        }
    }
}

/// A script's name, and the weight behind its last `@`.
fn weighted(text: &str) -> Result<(&str, u32), PgbenchOptionsError> {
    let Some((name, weight)) = text.rsplit_once('@') else { return Ok((text, 1)) };
    match weight.parse() {
        Ok(weight) if !name.is_empty() => Ok((name, weight)),
        _ => Err(PgbenchOptionsError::Other(format!("invalid weight specification: @{weight}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn scripts_are_numbered_in_the_order_of_their_options() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"SELECT 1;\n").unwrap();
        let path = file.path().to_str().unwrap();
        let given = [
            "test",
            "-S",
            "-f",
            &format!("{path}@3"),
            "-b",
            "tpcb@2",
            "-N",
            "-S",
            "--builtin=simple@0",
        ];
        let command = ScriptOptions::augment_args(Command::new("test"));
        let matches = command.try_get_matches_from(given).unwrap();
        let (scripts, has_builtin) =
            ScriptOptions::from_arg_matches(&matches).unwrap().read().unwrap();
        let scripts: Vec<_> = scripts.iter().map(|one| (&*one.name, one.weight)).collect();
        let expected = [
            ("<builtin: select only>", 1),
            (path, 3),
            ("<builtin: TPC-B (sort of)>", 2),
            ("<builtin: simple update>", 1),
            ("<builtin: select only>", 1),
            ("<builtin: simple update>", 0),
        ];
        assert_eq!(scripts, expected);
        assert!(has_builtin);
    }

    #[test]
    fn weights_are_whole_numbers() {
        assert_eq!(weighted("a@b@7").unwrap(), ("a@b", 7));
        for wrong in ["a@", "a@x", "a@-1", "@1"] {
            assert!(weighted(wrong).unwrap_err().to_string().contains("weight"), "{wrong}");
        }
    }
}
