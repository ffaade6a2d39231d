//! ARCHITECTURE.md is a map of what is there.

use std::path::Path;

#[test]
fn every_path_that_the_map_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the map");
    let paths: Vec<_> = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains('/') && !code.contains(' '))
        .collect();
    assert!(paths.len() > 15, "a map names the places: {paths:?}");
    let missing: Vec<_> = paths.iter().filter(|path| !root.join(path).exists()).collect();
    assert!(missing.is_empty(), "the map names what is not there: {missing:?}");
}
