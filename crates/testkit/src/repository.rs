use std::path::{Path, PathBuf};

/// The root of the project's tree, found from the working folder of the test that asks. Never a path of compile time:
/// a target folder may be shared by several clones, and a test must read the files of its own.
///
/// # Panics
/// Outside the tree.
#[expect(clippy::expect_used, reason = "a test outside the tree has nothing to read")]
pub fn repository() -> PathBuf {
    let here = std::env::current_dir().expect("a working folder");
    let root = here.ancestors().find(|folder| folder.join("scripts/env.sh").is_file());
    root.map(Path::to_path_buf).expect("a working folder inside the project")
}
