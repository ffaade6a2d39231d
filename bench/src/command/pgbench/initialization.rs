//! pgbench's options for making its tables: known, to say who makes them.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::PgbenchOptionsError;

/// The first of them that was given.
#[derive(Debug)]
pub(super) struct InitializationOptions(Option<&'static str>);

/// Each with its short form, and what its value is called if it has one.
const OPTIONS: [(&str, Option<char>, Option<&str>); 10] = [
    ("initialize", Some('i'), None),
    ("init-steps", Some('I'), Some("STEPS")),
    ("fillfactor", Some('F'), Some("PERCENT")),
    ("quiet", Some('q'), None),
    ("foreign-keys", None, None),
    ("index-tablespace", None, Some("TABLESPACE")),
    ("partition-method", None, Some("METHOD")),
    ("partitions", None, Some("NUMBER")),
    ("tablespace", None, Some("TABLESPACE")),
    ("unlogged-tables", None, None),
];

impl Args for InitializationOptions {
    fn augment_args(command: Command) -> Command {
        command.args(OPTIONS.map(|(name, short, value)| {
            let arg = Arg::new(name).long(name).short(short).action(ArgAction::Append).hide(true);
            // As an abbreviation of ours it would be --target.
            let arg = if name == "tablespace" { arg.alias("ta") } else { arg };
            match value {
                Some(value) => arg.value_name(value),
                None => arg.num_args(0).default_missing_value(""),
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for InitializationOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut names = OPTIONS.iter().map(|(name, ..)| *name);
        Ok(Self(names.find(|name| matches.contains_id(name))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl InitializationOptions {
    /// An error if there is one.
    pub(super) fn refuse(&self) -> Result<(), PgbenchOptionsError> {
        self.0.map_or(Ok(()), |name| Err(PgbenchOptionsError::Initialization(name)))
    }
}
