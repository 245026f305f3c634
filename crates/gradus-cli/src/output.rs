//! The files that commands write: none of them is one that the command reads, and a folder has those of one run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use gradus::data::mnist::SETS;
use gradus::save::atomic;

use crate::data_source::FolderLayout;
use crate::terminal::error_sentence;

/// The file that is locked as long as a run writes into its folder.
const LOCK: &str = ".gradus.lock";
/// The folder for the files of the last run that had finished, until the next one has.
const FINISHED: &str = "gradus-previous";
/// The folder for those of the last that had not.
const UNFINISHED: &str = "gradus-unfinished";

/// What a command reads and writes, as far as its options name that.
#[derive(Debug, Default)]
pub struct CommandFiles {
    /// Files that it reads.
    pub reads: Vec<PathBuf>,
    /// The files and folders of the samples that it reads.
    pub samples: Vec<PathBuf>,
    /// Files that it writes.
    pub writes: Vec<PathBuf>,
}

impl CommandFiles {
    /// Refuses to write over what is read, or among it, or the same file twice. Devices and pipes are no files.
    ///
    /// # Errors
    /// The sentence names the file.
    pub fn check(&self) -> Result<()> {
        let mut taken: Vec<PathBuf> = self
            .reads
            .iter()
            .chain(&self.samples)
            .filter(|path| path.is_file())
            .filter_map(|path| identity(path))
            .collect();
        let read = taken.len();
        for path in &self.writes {
            if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
                continue;
            }
            ensure!(
                !is_set_file(path),
                "{}: a file of this name is read as one of a data set; choose another one to write",
                path.display()
            );
            if let Some(folder) = self.samples.iter().find(|folder| is_sample_of(folder, path)) {
                bail!(
                    "{}: that is among the samples in {}, which the command reads, and would be read as one of them; choose another \
                     place to write",
                    path.display(),
                    folder.display()
                );
            }
            let Some(identity) = identity(path) else { continue };
            match taken.iter().position(|other| *other == identity) {
                None => taken.push(identity),
                Some(place) if place < read => bail!(
                    "{}: that is the file itself that the command reads; choose another one to write",
                    path.display()
                ),
                Some(_) => bail!(
                    "{}: the command would write this file twice; choose another one",
                    path.display()
                ),
            }
        }
        Ok(())
    }
}

/// A path that is the same for all names of a file; none of what is no file.
fn identity(path: &Path) -> Option<PathBuf> {
    if let Ok(metadata) = fs::metadata(path) {
        if !metadata.is_file() {
            return None;
        }
        if let Some(number) = number(&metadata) {
            return Some(number);
        }
    }
    real_path(path)
}

/// Whether the name is that of a file of a known data set.
fn is_set_file(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let plain = name.trim_end_matches(".gz").replace(".idx", "-idx");
    SETS.iter().any(|set| set.files().iter().any(|file| file.name == plain))
}

/// Whether a file at this path would lie where images are looked for in the folder.
fn is_sample_of(folder: &Path, path: &Path) -> bool {
    if !folder.is_dir() {
        return false;
    }
    let (Ok(folder), Some(path)) = (fs::canonicalize(folder), real_path(path)) else {
        return false;
    };
    let Ok(inside) = path.strip_prefix(&folder) else {
        return false;
    };
    // Names that begin with a dot are not read.
    if inside.iter().any(|name| name.as_encoded_bytes().starts_with(b".")) {
        return false;
    }
    match FolderLayout::of(&folder) {
        FolderLayout::Idx(..) => false,
        FolderLayout::Divided => inside.starts_with("train") || inside.starts_with("test"),
        // Each folder in it is a class.
        FolderLayout::Other => inside.iter().count() > 1,
    }
}

/// The path of a file behind all links; it need not be there yet, nor its folder.
fn real_path(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|there| {
        let real = fs::canonicalize(there).ok()?;
        Some(real.join(path.strip_prefix(there).ok()?))
    })
}

/// What a file is the same by, under all its names.
#[cfg(unix)]
fn number(metadata: &fs::Metadata) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    Some(format!("{} {}", metadata.dev(), metadata.ino()).into())
}

#[cfg(not(unix))]
fn number(_metadata: &fs::Metadata) -> Option<PathBuf> {
    None
}

/// A folder that one run writes into; others are refused meanwhile, also those of other processes.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// The names of all files of a run; that of the result, which only a run that has finished has, is the first.
    names: Vec<&'static str>,
    /// The folders that were made for it, the deepest first.
    made: Vec<PathBuf>,
    /// Held locked; none where the file system has no locks.
    lock: Option<File>,
}

impl OutputFolder {
    /// Makes the folder, if it is not there, and removes what killed programs were writing in it. A run writes files of these
    /// names, the first of them when all has gone well.
    ///
    /// # Errors
    /// If it can't be made, or another run writes into it.
    pub fn claim(path: &Path, names: &[&'static str]) -> Result<OutputFolder> {
        let missing = path
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let made = missing.map(Path::to_path_buf).collect();
        fs::create_dir_all(path).with_context(|| format!("{}: the folder can't be made", path.display()))?;
        let mut folder = OutputFolder {
            path: path.to_path_buf(),
            names: names.to_vec(),
            made,
            lock: None,
        };
        folder.lock = lock(path)?;
        atomic::remove_unfinished(path);
        // A run that was killed may have moved files away and not written them again.
        for place in [FINISHED, UNFINISHED] {
            for name in names {
                if let Ok(earlier) = fs::metadata(path.join(place).join(name)) {
                    let _ = atomic::write_like(&path.join(name), earlier);
                }
            }
        }
        Ok(folder)
    }

    /// Moves these files of an earlier run out of the way, so that none of them is taken for this run's. Links stay, and this run's
    /// files get the permissions of the earlier ones.
    ///
    /// # Errors
    /// If a file can't be moved; the sentence names it.
    pub fn set_aside<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> gradus::Result<()> {
        let names: Vec<&str> = names
            .into_iter()
            .filter(|name| self.path.join(name).is_file())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let finished = self.path.join(self.names[0]).is_file();
        let place = self.path.join(if finished { FINISHED } else { UNFINISHED });
        self.clear(&place);
        fs::create_dir_all(&place).map_err(|e| gradus::Error::io(&place, "the folder can't be made", e))?;
        let moved = names.iter().try_for_each(|name| {
            let path = self.path.join(name);
            let moved = atomic::move_away(&path, &place.join(name));
            moved.map_err(|e| gradus::Error::io(&path, "the file of an earlier run can't be moved", e))
        });
        if moved.is_err() {
            // Unless some were moved.
            let _ = fs::remove_dir(&place);
        }
        moved
    }

    /// Removes what was set aside: this run has finished.
    pub fn forget_earlier(&self) {
        for place in [FINISHED, UNFINISHED] {
            self.clear(&self.path.join(place));
        }
    }

    fn clear(&self, place: &Path) {
        for name in &self.names {
            let _ = fs::remove_file(place.join(name));
        }
        let _ = fs::remove_dir(place);
    }

    /// An error of this run, with where the files of the earlier one are.
    pub fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        let places = [FINISHED, UNFINISHED].map(|place| self.path.join(place));
        match places.iter().find(|place| place.is_dir()) {
            Some(place) => anyhow!(
                "{} (the files of the earlier run are in {})",
                error_sentence(&error),
                place.display()
            ),
            None => error,
        }
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = fs::remove_file(self.path.join(LOCK));
        }
        // Those that nothing was written into.
        let _ = self.made.iter().try_for_each(fs::remove_dir);
    }
}

/// Locks a folder; nothing where the file system has no locks.
fn lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join(LOCK);
    loop {
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
        let mut file = file.with_context(|| format!("{} can't be written into", folder.display()))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let process = fs::read_to_string(&path).unwrap_or_default();
                let process: String = process.chars().filter(char::is_ascii_digit).collect();
                ensure!(
                    !process.is_empty(),
                    "{}: another gradus is writing into this folder; wait for it, or name another with --out",
                    folder.display()
                );
                bail!(
                    "{}: another gradus, process {process}, is writing into this folder; wait for it, or name another with --out",
                    folder.display()
                )
            }
            Err(TryLockError::Error(_)) => {
                let _ = fs::remove_file(&path);
                return Ok(None);
            }
            // Whoever had it before may have removed the file meanwhile.
            Ok(()) if !is_at(&file, &path) => continue,
            Ok(()) => {
                let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                return Ok(Some(file));
            }
        }
    }
}

/// Whether this file is the one at the path.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => number(&a) == number(&b),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(reads: &[&Path], writes: &[&Path]) -> Result<()> {
        let own = |paths: &[&Path]| paths.iter().map(|path| path.to_path_buf()).collect();
        CommandFiles {
            reads: own(reads),
            writes: own(writes),
            ..CommandFiles::default()
        }
        .check()
    }

    #[test]
    fn nothing_is_written_among_samples() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["divided/train/cat", "divided/test/cat", "classes/cat"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let write = |samples: &str, path: &str| {
            let files = CommandFiles {
                samples: vec![at(samples)],
                writes: vec![at(path)],
                ..CommandFiles::default()
            };
            files.check().map_err(|error| error.to_string())
        };
        for (samples, path) in [
            ("divided", "divided/train/cat/1.json"),
            ("divided", "divided/test/new/run/curves.png"),
            ("classes", "classes/cat/1.png"),
            ("classes", "classes/runs/train/curves.png"),
            ("classes", "divided/../classes/./runs/x.json"),
        ] {
            let message = write(samples, path).unwrap_err();
            assert!(message.contains("would be read as one of them"), "{message}");
        }
        for (samples, path) in [
            ("divided", "divided/results.json"),
            ("divided", "divided/runs/curves.png"),
            ("classes", "classes/results.json"),
            ("classes", "classes/.runs/curves.png"),
            ("classes", "runs/curves.png"),
        ] {
            write(samples, path).unwrap();
        }
        for name in ["t10k-labels-idx1-ubyte", "train-images.idx3-ubyte.gz"] {
            let message = write("none", name).unwrap_err();
            assert!(message.contains("as one of a data set"), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_outlive_a_run() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let outer = tempfile::tempdir().unwrap();
        let at = |name: &str| outer.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        fs::create_dir_all(at("run")).unwrap();
        fs::create_dir_all(at("real")).unwrap();
        let names = ["result", "history"];
        for name in ["run/history", "real/result"] {
            fs::write(at(name), "first").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        symlink("../real/result", at("run/result")).unwrap();
        let claim = || OutputFolder::claim(&at("run"), &names).unwrap();
        let folder = claim();
        folder.set_aside(names).unwrap();
        for name in ["run/gradus-previous/result", "run/gradus-previous/history"] {
            assert_eq!((fs::read(at(name)).unwrap(), mode(name)), (b"first".into(), 0o600));
        }
        assert!(!at("run/result").exists() && !at("run/history").exists());
        atomic::write(&at("run/history"), b"second").unwrap();
        drop(folder);
        // As if it had been killed: the next run writes the rest.
        let folder = claim();
        folder.set_aside(names).unwrap();
        for name in names {
            atomic::write(&at("run").join(name), b"third").unwrap();
        }
        folder.forget_earlier();
        assert!(at("run/result").is_symlink());
        for name in ["real/result", "run/history"] {
            assert_eq!((fs::read(at(name)).unwrap(), mode(name)), (b"third".into(), 0o600));
        }
        assert_eq!(fs::read_dir(at("run")).unwrap().count(), 3, "with the lock");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_read_is_not_written_by_any_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("net"), "x").unwrap();
        fs::hard_link(at("net"), at("hard")).unwrap();
        std::os::unix::fs::symlink("net", at("soft")).unwrap();
        for name in ["net", "hard", "soft", "./net"] {
            let message = files(&[&at("net")], &[&at("new"), &at(name)]).unwrap_err().to_string();
            assert!(message.contains("that is the file itself"), "{message}");
        }
        let message = files(&[&at("net")], &[&at("new"), &at("./new")])
            .unwrap_err()
            .to_string();
        assert!(
            message.ends_with("would write this file twice; choose another one"),
            "{message}"
        );
        let device = Path::new("/dev/null");
        files(&[&at("net"), device, folder.path()], &[&at("new"), device, device]).unwrap();
    }

    #[test]
    fn one_run_at_a_time_has_a_folder() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("runs/one");
        let claimed = OutputFolder::claim(&path, &["kept"]).unwrap();
        let message = format!("{:#}", OutputFolder::claim(&path, &["kept"]).unwrap_err());
        let own = format!(
            "another gradus, process {}, is writing into this folder",
            std::process::id()
        );
        assert!(message.contains(&own), "{message}");
        drop(claimed);
        assert!(!outer.path().join("runs").exists(), "nothing was written");
        fs::create_dir_all(&path).unwrap();
        // What a killed run left is no lock.
        fs::write(path.join(LOCK), "1").unwrap();
        let claimed = OutputFolder::claim(&path, &["kept"]).unwrap();
        fs::write(path.join("kept"), "x").unwrap();
        drop(claimed);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_moved_is_named_and_stays() {
        let outer = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc/version", outer.path().join("result")).unwrap();
        let folder = OutputFolder::claim(outer.path(), &["result"]).unwrap();
        let error = folder.set_aside(["result"]).unwrap_err();
        let message = folder.explained(error.into()).to_string();
        assert!(
            message.contains("result: the file of an earlier run can't be moved"),
            "{message}"
        );
        assert!(!message.contains("the files of the earlier run are in"), "{message}");
        assert!(outer.path().join("result").is_file() && !outer.path().join(FINISHED).exists());
    }

    #[test]
    fn the_files_of_an_earlier_run_are_set_aside_until_the_next_has_finished() {
        let outer = tempfile::tempdir().unwrap();
        let names = ["result", "history"];
        let write = |text: &str, names: &[&str]| {
            for name in names {
                fs::write(outer.path().join(name), text).unwrap();
            }
        };
        let read = |name: &str| fs::read_to_string(outer.path().join(name)).ok();
        let folder = OutputFolder::claim(outer.path(), &names).unwrap();
        folder.set_aside(names).unwrap();
        assert!(!outer.path().join(FINISHED).exists());
        write("first", &names);
        write("mine", &["other", "gradus-unfinished.txt"]);
        folder.set_aside(names).unwrap();
        assert_eq!((read("result"), read("history")), (None, None));
        assert_eq!(read("gradus-previous/history").unwrap(), "first");
        // The second fails, and doesn't take the place of one that has finished.
        write("second", &["history"]);
        folder.set_aside(names).unwrap();
        assert_eq!(read("gradus-previous/history").unwrap(), "first");
        assert_eq!(read("gradus-unfinished/history").unwrap(), "second");
        let message = folder.explained(anyhow!("it failed")).to_string();
        assert!(
            message.starts_with("it failed (the files of the earlier run are in "),
            "{message}"
        );
        // The third finishes and fails when it goes on: the rest is not the first's.
        write("third", &names);
        folder.set_aside(["result"]).unwrap();
        assert_eq!(read("gradus-previous/result").unwrap(), "third");
        assert_eq!(read("gradus-previous/history"), None);
        folder.forget_earlier();
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 4);
        assert_eq!(
            (read("other").unwrap(), read("history").unwrap()),
            ("mine".into(), "third".into())
        );
    }
}
