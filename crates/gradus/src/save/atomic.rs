use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Writes a file so that at every moment either the old content or the new is there, whole: beside it, synced, and then
/// renamed. Missing folders are made.
///
/// # Errors
/// If the file can't be written; nothing is left of it then.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let fail = |what: &str, e: std::io::Error| Error::file(path, format!("{what}: {e}"));
    let Some(name) = path.file_name() else {
        return Err(Error::file(path, "is not the path of a file"));
    };
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| fail("its folder can't be made", e))?;
    // The numbers of the process and of the write keep two writers of one file apart.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}-{number}.part", std::process::id()));
    let beside: PathBuf = folder.join(beside);
    let written = File::create(&beside)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    if let Err(e) = written {
        let _ = fs::remove_file(&beside);
        return Err(fail("can't be written", e));
    }
    // The new name has to survive a power cut too, where folders can be synced.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_whole_files_and_leaves_nothing_beside() {
        let folder = std::env::temp_dir().join(format!("gradus-atomic-{}", std::process::id()));
        let path = folder.join("deep/file.txt");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.join("deep")).unwrap().count(), 1);
        let blocked = path.join("below-a-file");
        assert!(
            write_atomically(&blocked, b"x")
                .unwrap_err()
                .to_string()
                .contains("folder can't be made")
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
