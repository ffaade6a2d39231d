//! The connection service file (Postgres manual, 34.17): connection strings by name.

use std::path::PathBuf;

use super::ConninfoError;
use super::keywords::{Environment, Keywords, insert};

/// Where Debian's libpq has it, where PGSYSCONFDIR does not say.
const SYSTEM_FOLDER: &str = "/etc/postgresql-common";

const NAME: &str = "pg_service.conf";

/// The keywords of `service`: from the user's own file, or else from the system's.
pub(super) fn read(
    service: &str,
    environment: &Environment<'_>,
) -> Result<Keywords, ConninfoError> {
    let own = environment.path("PGSERVICEFILE").or_else(|| environment.in_home(".pg_service.conf"));
    let system = environment.path("PGSYSCONFDIR").unwrap_or_else(|| SYSTEM_FOLDER.into());
    let mut looked_in = Vec::new();
    for path in own.into_iter().chain([system.join(NAME)]) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if let Some(keywords) = find(&text, service)? {
            return Ok(keywords);
        }
        looked_in.push(path);
    }
    Err(ConninfoError::Service { service: service.to_owned(), places: places(&looked_in) })
}

fn places(paths: &[PathBuf]) -> String {
    match paths {
        [] => "there is no service file: set PGSERVICEFILE".into(),
        paths => {
            let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            format!("it is not in {}", names.join(" or "))
        }
    }
}

/// A section's `keyword=value` lines; the first section of that name counts.
fn find(text: &str, service: &str) -> Result<Option<Keywords>, ConninfoError> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let heading = format!("[{service}]");
    if !lines.any(|line| line == heading) {
        return Ok(None);
    }
    let mut keywords = Keywords::new();
    for line in lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty()) {
        let (keyword, value) = line
            .split_once('=')
            .filter(|(keyword, _)| *keyword != "service")
            .ok_or_else(|| ConninfoError::Syntax(format!("service {service}: a line without =")))?;
        if !keywords.contains_key(keyword) {
            insert(&mut keywords, keyword, value.as_bytes().to_vec())?;
        }
    }
    Ok(Some(keywords))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("services");
        let text =
            "# mine\n[other]\nhost=no\n\n[mine]\nhost=yes\nport=7\nhost=twice\n[last]\nuser=u\n";
        std::fs::write(&path, text).unwrap();
        let variable = |name: &str| {
            let path = path.display().to_string().into_bytes();
            (name == "PGSERVICEFILE").then_some(path)
        };
        let environment = Environment { variable: &variable, home: None, account: &|| None };
        let keywords =
            super::super::keywords::read(&["service=mine port=8"], &environment).unwrap();
        assert_eq!(keywords["host"], b"yes");
        assert_eq!(keywords["port"], b"8", "the connection string wins");
        assert!(!keywords.contains_key("user"));
        let error = read("none", &environment).unwrap_err().to_string();
        assert!(error.contains("service none") && error.contains("services"), "{error}");
    }
}
