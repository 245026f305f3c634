//! Files that are never half-written: written beside their place, synced, then renamed into it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// How the names of files begin and end that are being written; between stand the numbers of the process and of the write.
const PREFIX: &str = ".gradus-";
const SUFFIX: &str = ".part";

/// The permissions and the owners of files that will be written again, by their paths behind all links.
static EARLIER: Mutex<BTreeMap<PathBuf, Metadata>> = Mutex::new(BTreeMap::new());

/// The most links that a path may lead through, as on Linux.
const MOST_LINKS: usize = 40;

/// Writes a file with what `fill` writes, so that at every moment either the old content or the new is there, whole, even
/// if the program is killed or the power fails. Missing folders are made.
///
/// Links are followed, and a file that exists keeps its permissions and its owner. What is no regular file (a device, a pipe,
/// `/dev/stdout`) is written to as it is, once `fill` has finished.
///
/// # Errors
/// What `fill` returns, or that the file can't be written; the file stays as it was then, and nothing is left beside it.
pub fn write_with<T, E: From<Error>>(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<T, E>) -> Result<T, E> {
    if path.file_name().is_none() {
        return Err(Error::file(path, "is not the path of a file").into());
    }
    let cannot = |e: io::Error| Error::io(path, "can't be written", e);
    match Place::of(path).map_err(cannot)? {
        Place::File(place) => replace(path, &place, fill),
        Place::Stream => {
            let mut content = Vec::new();
            let value = fill(&mut content)?;
            // At the end, where standard output goes into a file that has something already.
            let opened = OpenOptions::new().append(true).open(path);
            opened
                .and_then(|mut stream| stream.write_all(&content))
                .map_err(cannot)?;
            Ok(value)
        }
    }
}

/// Puts what `fill` writes in the place of a file; errors name it as `path`, which led there.
fn replace<T, E: From<Error>>(
    path: &Path,
    place: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    let cannot = |e: io::Error| Error::io(path, "can't be written", e);
    let folder = (place.parent().filter(|p| !p.as_os_str().is_empty())).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| Error::io(path, "its folder can't be made", e))?;
    let mut old = fs::metadata(place).ok();
    if old.is_some() {
        // A rename asks for no right to write the file.
        OpenOptions::new().write(true).open(place).map_err(cannot)?;
    } else {
        let earlier = EARLIER.lock().unwrap_or_else(PoisonError::into_inner);
        old = earlier.get(place).cloned();
    }
    let (file, beside) = create_beside(folder, old.as_ref()).map_err(cannot)?;
    let write = || {
        let mut file = BufWriter::new(file);
        let value = fill(&mut file)?;
        let file = file.into_inner().map_err(|e| cannot(e.into_error()))?;
        if let Some(old) = &old {
            keep_owner(&beside, old);
            fs::set_permissions(&beside, old.permissions()).map_err(cannot)?;
        }
        file.sync_all().map_err(cannot)?;
        fs::rename(&beside, place).map_err(cannot)?;
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
        (file.write_all(content)).map_err(|e| Error::io(path, "can't be written", e))
    })
}

/// Moves a file away that will be written again: links that lead to it stay, and the next file that [`write_with`] writes there has its
/// permissions and its owner. What is no regular file stays where it is.
///
/// # Errors
/// If the file can't be moved.
pub fn move_away(path: &Path, to: &Path) -> io::Result<()> {
    let Place::File(place) = Place::of(path)? else {
        return Ok(());
    };
    let old = fs::metadata(&place)?;
    if fs::rename(&place, to).is_err() {
        // Behind a link may be another file system.
        let moved = fs::copy(&place, to).and_then(|_| fs::remove_file(&place));
        if let Err(error) = moved {
            let _ = fs::remove_file(to);
            return Err(error);
        }
    }
    write_like(path, old)
}

/// Has [`write_with`] give a file that isn't there yet these permissions and this owner.
///
/// # Errors
/// If the path leads through too many links.
pub fn write_like(path: &Path, old: Metadata) -> io::Result<()> {
    if let Place::File(place) = Place::of(path)? {
        let mut earlier = EARLIER.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.insert(place, old);
    }
    Ok(())
}

/// Whether a file of this name is one that [`write_with`] writes, or that a killed program left beside its place.
pub fn is_unfinished(name: &OsStr) -> bool {
    let numbers = name
        .to_str()
        .and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.is_some_and(|(process, write)| is_number(process) && is_number(write))
}

/// Removes the files that killed programs left unfinished in a folder. Files that a running program is writing stay, and so does
/// what can't be removed.
pub fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !is_unfinished(&entry.file_name()) {
            continue;
        }
        // Its writer holds a lock for as long as it runs.
        let file = OpenOptions::new().write(true).open(entry.path());
        if file.is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What a path leads to.
enum Place {
    /// A regular file, or none yet.
    File(PathBuf),
    /// Something that takes bytes one after the other.
    Stream,
}

impl Place {
    fn of(path: &Path) -> io::Result<Place> {
        let mut path = path.to_path_buf();
        for _ in 0..MOST_LINKS {
            if is_descriptor(&path) {
                return Ok(Place::Stream);
            }
            let kind = fs::symlink_metadata(&path).map(|metadata| metadata.file_type());
            match kind {
                Ok(kind) if kind.is_symlink() => {
                    let target = fs::read_link(&path)?;
                    path = path.parent().map_or(target.clone(), |folder| folder.join(&target));
                }
                Ok(kind) if kind.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                Ok(kind) if !kind.is_file() => return Ok(Place::Stream),
                // What is wrong with its folder is found when that is made.
                _ => return Ok(Place::File(path)),
            }
        }
        Err(io::Error::other(format!(
            "it leads through more than {MOST_LINKS} links"
        )))
    }
}

/// Whether this is what a process has open, such as `/proc/self/fd/1`, even if that is a file: nobody would read another file that was
/// put in its place.
fn is_descriptor(path: &Path) -> bool {
    let in_fd = path.parent().is_some_and(|folder| folder.ends_with("fd"));
    in_fd && (path.starts_with("/proc") || path.starts_with("/dev"))
}

/// A new file in this folder, readable to no more than the `old` one, which is locked as long as it is open.
fn create_beside(folder: &Path, old: Option<&Metadata>) -> io::Result<(File, PathBuf)> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = WRITES.fetch_add(1, Ordering::Relaxed);
        let beside = folder.join(format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id()));
        let file = match create_like(&beside, old) {
            // A killed process may have had the same number.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            file => file?,
        };
        // Between its creation and its lock the file looks like one that was left, and may be removed as such.
        let removed = match file.try_lock() {
            Err(TryLockError::WouldBlock) => true,
            // Some file systems have no locks; there nothing is removed either.
            Err(TryLockError::Error(_)) => false,
            Ok(()) => !beside.exists(),
        };
        if !removed {
            return Ok((file, beside));
        }
    }
}

#[cfg(unix)]
fn create_like(path: &Path, old: Option<&Metadata>) -> io::Result<File> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let mut options = OpenOptions::new();
    if let Some(old) = old {
        options.mode(old.mode() & 0o777);
    }
    options.write(true).create_new(true).open(path)
}

#[cfg(not(unix))]
fn create_like(path: &Path, _old: Option<&Metadata>) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Gives a file the owner of another, where that is allowed.
#[cfg(unix)]
fn keep_owner(path: &Path, old: &Metadata) {
    use std::os::unix::fs::{MetadataExt, chown};
    let _ = chown(path, Some(old.uid()), Some(old.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_path: &Path, _old: &Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gradus-atomic-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn writes_whole_files_and_leaves_nothing_beside() {
        let folder = folder("whole");
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
        assert_eq!(count(&folder.join("deep")), 1);
        let blocked = path.join("below-a-file");
        assert!(
            write(&blocked, b"x")
                .unwrap_err()
                .to_string()
                .contains("folder can't be made")
        );
        // The longest names are no longer for being written.
        let long = folder.join("n".repeat(255));
        write(&long, b"long").unwrap();
        assert_eq!(fs::read(&long).unwrap(), b"long");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_files_that_killed_programs_left_are_removed() {
        let folder = folder("left");
        let kept = [
            ".video.mp4.part",
            ".gradus-notes.part",
            ".gradus-1-.part",
            "gradus-1-2.part",
            ".x.1-2.part",
        ];
        let left = [".gradus-1-2.part", ".gradus-999999-0.part"];
        for name in kept.iter().chain(&left) {
            fs::write(folder.join(name), b"x").unwrap();
        }
        let path = folder.join("file.txt");
        write_with(&path, |file| -> Result<()> {
            // This one is being written.
            remove_unfinished(&folder);
            file.write_all(b"all")
                .map_err(|e| Error::io(&path, "can't be written", e))
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"all");
        for name in kept {
            assert!(folder.join(name).exists(), "{name}");
        }
        for name in left {
            assert!(!folder.join(name).exists(), "{name}");
        }
        // A killed process of the same number left a file.
        let next = format!(".gradus-{}-", std::process::id());
        for number in 0..100 {
            fs::write(folder.join(format!("{next}{number}.part")), b"x").unwrap();
        }
        write(&path, b"again").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"again");
        fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

        use super::*;

        #[test]
        fn links_are_followed() {
            let folder = folder("links");
            fs::create_dir(folder.join("real")).unwrap();
            let (link, chain, dangling) = (folder.join("link"), folder.join("chain"), folder.join("dangling"));
            fs::write(folder.join("real/file"), b"old").unwrap();
            symlink("real/file", &link).unwrap();
            symlink("link", &chain).unwrap();
            symlink("real/new/none", &dangling).unwrap();
            for path in [&link, &chain] {
                write(path, path.as_os_str().as_encoded_bytes()).unwrap();
                assert!(path.is_symlink());
                assert_eq!(
                    fs::read(folder.join("real/file")).unwrap(),
                    path.as_os_str().as_encoded_bytes()
                );
            }
            write(&dangling, b"made").unwrap();
            assert!(dangling.is_symlink());
            assert_eq!(fs::read(folder.join("real/new/none")).unwrap(), b"made");
            symlink("around", folder.join("around")).unwrap();
            let message = write(&folder.join("around"), b"x").unwrap_err().to_string();
            assert!(message.contains("more than 40 links"), "{message}");
            assert_eq!(count(&folder.join("real")), 2);
            fs::remove_dir_all(folder).unwrap();
        }

        #[test]
        fn permissions_are_kept() {
            let folder = folder("permissions");
            let path = folder.join("file");
            for mode in [0o600, 0o640, 0o755] {
                fs::write(&path, b"old").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                write_with(&path, |file| -> Result<()> {
                    for entry in fs::read_dir(&folder).unwrap() {
                        let meanwhile = entry.unwrap().metadata().unwrap().mode() & 0o777;
                        assert_eq!(meanwhile & !mode, 0, "{meanwhile:o}");
                    }
                    file.write_all(b"new")
                        .map_err(|e| Error::io(&path, "can't be written", e))
                })
                .unwrap();
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
                assert_eq!(fs::read(&path).unwrap(), b"new");
            }
            fs::remove_dir_all(folder).unwrap();
        }

        #[test]
        fn what_was_moved_away_is_written_as_it_was() {
            let folder = folder("moved");
            fs::create_dir(folder.join("real")).unwrap();
            fs::write(folder.join("real/file"), b"old").unwrap();
            fs::set_permissions(folder.join("real/file"), fs::Permissions::from_mode(0o600)).unwrap();
            symlink("real/file", folder.join("link")).unwrap();
            move_away(&folder.join("link"), &folder.join("away")).unwrap();
            assert_eq!(fs::read(folder.join("away")).unwrap(), b"old");
            assert!(!folder.join("real/file").exists());
            write(&folder.join("link"), b"new").unwrap();
            assert!(folder.join("link").is_symlink());
            assert_eq!(fs::read(folder.join("real/file")).unwrap(), b"new");
            for path in ["away", "real/file"] {
                assert_eq!(fs::metadata(folder.join(path)).unwrap().mode() & 0o777, 0o600, "{path}");
            }
            // As after a program that was killed.
            write_like(&folder.join("other"), fs::metadata(folder.join("away")).unwrap()).unwrap();
            write(&folder.join("other"), b"new").unwrap();
            assert_eq!(fs::metadata(folder.join("other")).unwrap().mode() & 0o777, 0o600);
            fs::remove_dir_all(folder).unwrap();
        }

        #[test]
        fn devices_and_pipes_are_written_to() {
            write(Path::new("/dev/null"), b"nothing").unwrap();
            assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
            let message = write(Path::new("/dev/null/x"), b"").unwrap_err().to_string();
            assert!(
                message.starts_with("/dev/null/x: its folder can't be made"),
                "{message}"
            );

            let folder = folder("pipe");
            let pipe = folder.join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
            assert!(made.success());
            let reader = std::thread::spawn({
                let pipe = pipe.clone();
                move || fs::read(pipe).unwrap()
            });
            write(&pipe, b"through").unwrap();
            assert_eq!(reader.join().unwrap(), b"through");
            assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
            // Nothing goes through if not all can.
            let failed = write_with(Path::new("/dev/null"), |_| Err::<(), _>(Error::invalid("no")));
            assert_eq!(failed.unwrap_err().to_string(), "no");
            assert_eq!(count(&folder), 1);
            fs::remove_dir_all(folder).unwrap();
        }
    }
}
