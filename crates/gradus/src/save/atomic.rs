//! Files that are never half-written: written beside their place, synced, then renamed into it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

const SUFFIX: &str = ".part";

/// Writes a file with what `fill` writes, so that at every moment either the old content or the new is there, whole, even
/// if the program is killed or the power fails. Missing folders are made.
///
/// # Errors
/// What `fill` returns, or that the file can't be written; the file stays as it was then, and nothing is left beside it.
pub fn write_with<T, E: From<Error>>(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<T, E>) -> Result<T, E> {
    let Some(name) = path.file_name() else {
        return Err(Error::file(path, "is not the path of a file").into());
    };
    let folder = (path.parent().filter(|p| !p.as_os_str().is_empty())).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Error::file(path, format!("its folder can't be made: {e}")))?;
    // The numbers of the process and of the write keep two writers of one file apart.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let mut beside = OsStr::new(".").to_os_string();
    beside.push(name);
    beside.push(format!(".{}-{number}{SUFFIX}", std::process::id()));
    let beside = folder.join(beside);

    let cannot = |e: std::io::Error| Error::file(path, format!("can't be written: {e}"));
    let write = || {
        let mut file = BufWriter::new(File::create(&beside).map_err(cannot)?);
        let value = fill(&mut file)?;
        let file = file.into_inner().map_err(|e| cannot(e.into_error()))?;
        file.sync_all().map_err(cannot)?;
        fs::rename(&beside, path).map_err(cannot)?;
        Ok(value)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    // The rename itself has to survive a power cut too, where folders can be synced.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    written
}

/// Writes `content` into a file, as [`write_with`] does.
///
/// # Errors
/// If the file can't be written.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    write_with(path, |file| {
        (file.write_all(content)).map_err(|e| Error::file(path, format!("can't be written: {e}")))
    })
}

/// Whether a file of this name is one that a killed program left beside its place.
pub fn is_unfinished(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with('.') && name.ends_with(SUFFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_whole_files_and_leaves_nothing_beside() {
        let folder = std::env::temp_dir().join(format!("gradus-atomic-{}", std::process::id()));
        let path = folder.join("deep/file.txt");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        let failed = write_with(&path, |file| {
            file.write_all(b"thr").unwrap();
            let beside = fs::read_dir(folder.join("deep"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name());
            assert_eq!(beside.filter(|name| is_unfinished(name)).count(), 1);
            Err::<(), _>(Error::invalid("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.join("deep")).unwrap().count(), 1);
        let blocked = path.join("below-a-file");
        assert!(
            write(&blocked, b"x")
                .unwrap_err()
                .to_string()
                .contains("folder can't be made")
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
