//! Files that are never half-written: written beside their place, synced, then renamed into it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// Writes the file `path` with what `fill` writes, so that whoever looks meets the old file or the whole new one, even if
/// the program is killed or the power fails. The folder is made where it's missing. If `fill` fails, `path` stays as it was.
///
/// # Errors
/// What `fill` returns, or a sentence that names the file and what the system said.
pub fn write_with<T>(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let folder = folder_of(path);
    let cannot = || format!("cannot write {}", path.display());
    fs::create_dir_all(&folder).with_context(cannot)?;
    let beside = beside(&folder).with_context(cannot)?;
    let mut writer = BufWriter::new(beside);
    let value = fill(&mut writer)?;
    let beside = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .with_context(cannot)?;
    beside.as_file().sync_all().with_context(cannot)?;
    beside.persist(path).map_err(|e| e.error).with_context(cannot)?;
    sync_folder(&folder);
    Ok(value)
}

/// Writes `bytes` into the file `path`, as [`write_with`] does.
///
/// # Errors
/// A sentence that names the file and what the system said.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| {
        file.write_all(bytes)
            .with_context(|| format!("cannot write {}", path.display()))
    })
}

const PREFIX: &str = ".gradus-";
const SUFFIX: &str = ".part";

/// Whether a file of this name is one that [`write_with`] had not finished.
pub fn is_unfinished(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// A new file in the folder, removed when dropped, that others may read as they may read any new file of this user.
fn beside(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Makes the rename itself lasting, which takes a sync of the folder. The file is whole either way, and not every system
/// or file system lets a folder be opened or synced, so a refusal is no error.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn writes_and_replaces_and_makes_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(path.parent().unwrap()), ["b.txt"]);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.txt");
        write(&path, b"old").unwrap();
        let result = write_with(&path, |file| {
            file.write_all(&[0; 100_000])?;
            bail!("interrupted");
            #[allow(unreachable_code)]
            Ok(())
        });
        assert_eq!(result.unwrap_err().to_string(), "interrupted");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["b.txt"]);
    }

    #[test]
    fn the_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        let path = folder.path().join("file/inside.txt");
        let message = format!("{:#}", write(&path, b"x").unwrap_err());
        assert!(
            message.starts_with(&format!("cannot write {}", path.display())),
            "{message}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_it_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, b"x").unwrap();
        fs::write(&plain, b"x").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
