//! Where data is kept when nobody says where.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

const FILE: &str = "zaqar.db";

/// The file `zaqar.db` in `$XDG_DATA_HOME/zaqar`, else in `~/.local/share/zaqar`, else in
/// `./zaqar-data`.
pub(crate) fn default_path(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| PathBuf::from("zaqar-data"), |data| data.join("zaqar"));
    folder.join(FILE)
}

/// Makes the file's folder, for this user alone.
pub(crate) fn make_folder(file: &Path) -> std::io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_is_where_the_users_data_goes() {
        let with = |pairs: &'static [(&str, &str)]| {
            default_path(|name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
        };
        let both = with(&[("XDG_DATA_HOME", "/data"), ("HOME", "/home/u")]);
        assert_eq!(both, Path::new("/data/zaqar/zaqar.db"));
        let home = with(&[("XDG_DATA_HOME", "relative"), ("HOME", "/home/u")]);
        assert_eq!(home, Path::new("/home/u/.local/share/zaqar/zaqar.db"));
        assert_eq!(with(&[]), Path::new("zaqar-data/zaqar.db"));
    }
}
