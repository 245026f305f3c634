//! `gradus data`, as a user runs it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use gradus::data::{idx, mnist::Set};

/// The program, with no settings from outside and a home of its own.
fn gradus(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command
        .env_clear()
        .env("HOME", home)
        .env("LOCALAPPDATA", home)
        .current_dir(home);
    command
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A server on this machine that sends files from a folder; of those in `stalled` only the first half, and then nothing.
fn serve(folder: std::path::PathBuf, stalled: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
            let name = request.split(' ').nth(1).unwrap().trim_start_matches('/');
            let file = fs::read(folder.join(name)).unwrap();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                file.len()
            )
            .unwrap();
            if stalled {
                stream.write_all(&file[..file.len() / 2]).unwrap();
                thread::sleep(Duration::from_secs(60));
            }
            stream.write_all(&file).unwrap();
        }
    });
    address
}

/// Writes the gzipped files of a set with two training images and a test image.
fn publish(set: &Set, folder: &Path) {
    let contents: [(&[usize], Vec<u8>); 4] = [
        (&[2, 28, 28], (0..2 * 784).map(|i| (i % 251) as u8).collect()),
        (&[2], vec![3, 4]),
        (&[1, 28, 28], vec![9; 784]),
        (&[1], vec![5]),
    ];
    for (file, (dims, bytes)) in set.files().into_iter().zip(contents) {
        let plain = folder.join(&file.name);
        idx::write(&plain, dims, &bytes).unwrap();
        let gzipped = fs::File::create(folder.join(file.name + ".gz")).unwrap();
        let mut encoder = GzEncoder::new(gzipped, Compression::default());
        encoder.write_all(&fs::read(&plain).unwrap()).unwrap();
        encoder.finish().unwrap();
    }
}

#[test]
fn the_embedded_digits_need_nothing() {
    let home = tempfile::tempdir().unwrap();
    let output = gradus(home.path())
        .args(["data", "show", "digits", "--json", "digits.json", "--class", "7"])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(
        text.starts_with("digits: 1,437 + 360 samples of shape 1×8×8\n"),
        "{text}"
    );
    let results: serde_json::Value =
        serde_json::from_slice(&fs::read(home.path().join("digits.json")).unwrap()).unwrap();
    assert_eq!(results["classes"][7]["test"], 36);
    let picture = fs::read(home.path().join("runs/data/samples.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert!(
        fs::read_to_string(home.path().join("runs/data/samples.svg"))
            .unwrap()
            .contains("50 training samples of class 7")
    );
}

#[test]
fn mnist_is_part_of_the_program_unless_a_folder_is_named() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| gradus(home.path()).args(arguments).output().unwrap();
    let shown = stdout(&run(&["data", "show", "mnist", "--offline"]));
    assert!(
        shown.starts_with("mnist: 60,000 + 10,000 samples of shape 1×28×28\n"),
        "{shown}"
    );
    for verified in [&["data", "verify"][..], &["data", "verify", "digits", "mnist"]] {
        let text = stdout(&run(verified));
        assert_eq!(text, "digits is part of the program\nmnist is part of the program\n");
    }
    let listed = |output: &Output| {
        let text = stdout(output);
        let mut lines = text.lines().skip_while(|line| !line.starts_with("mnist "));
        lines.nth(1).unwrap().trim().to_string()
    };
    assert_eq!(listed(&run(&["data", "list"])), "part of the program");

    let own = home.path().join("sets/mnist");
    fs::create_dir_all(&own).unwrap();
    publish(Set::find("mnist").unwrap(), &own);
    assert_eq!(listed(&run(&["data", "list", "--data-dir", "sets"])), "sets/mnist");
    let with_variable = |arguments: &[&str]| {
        let mut command = gradus(home.path());
        command.env("GRADUS_DATA_DIR", home.path().join("sets")).args(arguments);
        command.output().unwrap()
    };
    assert_eq!(listed(&with_variable(&["data", "list"])), own.to_string_lossy());
    let shown = stdout(&with_variable(&["data", "show", "mnist"]));
    assert!(shown.starts_with("mnist: 2 + 1 samples"), "{shown}");
    // A folder that has other sets alone hides nothing.
    fs::rename(home.path().join("sets"), home.path().join("others")).unwrap();
    fs::create_dir(home.path().join("sets")).unwrap();
    assert_eq!(listed(&with_variable(&["data", "list"])), "part of the program");
}

#[test]
fn a_set_is_fetched_listed_verified_and_shown() {
    let home = tempfile::tempdir().unwrap();
    let published = home.path().join("published");
    fs::create_dir(&published).unwrap();
    publish(Set::find("emnist-digits").unwrap(), &published);
    let mirror = serve(published, false);
    let fetched = gradus(home.path())
        .args([
            "data",
            "fetch",
            "emnist-digits",
            "--data-dir",
            "here",
            "--mirror",
            &mirror,
        ])
        .output()
        .unwrap();
    assert_eq!(
        stdout(&fetched),
        format!(
            "emnist-digits is in {}\n",
            Path::new("here").join("emnist-digits").display()
        )
    );
    assert_eq!(
        stderr(&fetched).lines().count(),
        4,
        "a line for each file: {}",
        stderr(&fetched)
    );
    assert_eq!(fs::read_dir(home.path().join("here/emnist-digits")).unwrap().count(), 4);

    let run = |arguments: &[&str]| stdout(&gradus(home.path()).args(arguments).output().unwrap());
    assert!(run(&["data", "list", "--data-dir", "here"]).contains("here/emnist-digits"));
    let verified = run(&["data", "verify", "--data-dir", "here"]);
    assert!(
        verified.contains("2 + 1 samples, its published sums are not known"),
        "{verified}"
    );
    assert!(run(&["data", "show", "emnist-digits", "--data-dir", "here"]).contains("samples of shape 1×28×28"));
}

#[test]
fn what_is_there_already_is_not_fetched() {
    let home = tempfile::tempdir().unwrap();
    let there = home.path().join("sets/emnist-digits");
    fs::create_dir_all(&there).unwrap();
    publish(Set::find("emnist-digits").unwrap(), &there);
    let fetch = || {
        gradus(home.path())
            .env("GRADUS_DATA_DIR", home.path().join("sets"))
            .args(["data", "fetch", "emnist-digits", "--mirror", "http://127.0.0.1:1"])
            .output()
            .unwrap()
    };
    assert_eq!(stdout(&fetch()), format!("emnist-digits is in {}\n", there.display()));
    // Fetched all the same, the set is still read from the folder that is searched before, where it is whole.
    let forced = gradus(home.path())
        .env("GRADUS_DATA_DIR", home.path().join("sets"))
        .args(["data", "fetch", "emnist-digits", "--force", "--mirror"])
        .arg(serve(there.clone(), false))
        .output()
        .unwrap();
    let cache = home.path().join(".cache/gradus/emnist-digits");
    assert_eq!(stdout(&forced), format!("emnist-digits is in {}\n", cache.display()));
    let note = format!(
        "note: {} is searched before, so the set is read from there\n",
        there.display()
    );
    assert!(stderr(&forced).ends_with(&note), "{}", stderr(&forced));
    let labels = there.join("emnist-digits-train-labels-idx1-ubyte");
    fs::write(labels, [0, 0, 8, 1, 0, 0, 0, 2, 3]).unwrap();
    assert!(stderr(&fetch()).contains("cannot download"), "{}", stderr(&fetch()));
}

#[test]
fn gzipped_files_are_unpacked_to_a_limit() {
    let home = tempfile::tempdir().unwrap();
    let set = Set::find("emnist-digits").unwrap();
    publish(set, home.path());
    set.files()
        .iter()
        .for_each(|file| fs::remove_file(home.path().join(&file.name)).unwrap());
    let mut table = GzEncoder::new(
        fs::File::create(home.path().join("table.csv.gz")).unwrap(),
        Compression::fast(),
    );
    table.write_all(&b"1,a\n2,b\n".repeat(20)).unwrap();
    table.finish().unwrap();
    let show = ["data", "show", "emnist-digits", "--data-dir", "."];
    let train = ["train", "mlp", "--data", "table.csv.gz", "--epochs", "1", "--quiet"];
    for arguments in [&show[..], &train] {
        let limited = |mib: &str| {
            let mut command = gradus(home.path());
            command
                .env("GRADUS_MOST_UNPACKED", mib)
                .args(arguments)
                .output()
                .unwrap()
        };
        let errors = stderr(&limited("0"));
        assert!(
            errors.contains("becomes more than 0 MiB when it is unpacked"),
            "{arguments:?}: {errors}"
        );
        stdout(&limited("1"));
    }
}

#[test]
fn another_file_from_a_mirror_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let published = home.path().join("published");
    fs::create_dir(&published).unwrap();
    publish(Set::find("mnist").unwrap(), &published);
    let mirror = serve(published, false);
    let output = gradus(home.path())
        .args(["data", "fetch", "mnist", "--mirror", &mirror])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: cannot download train-images-idx3-ubyte.gz: http://127.0.0.1"));
    assert!(stderr(&output).contains("it sent another file"));
    assert_eq!(
        fs::read_dir(home.path().join(".cache/gradus/mnist")).unwrap().count(),
        0
    );
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused() {
    let home = tempfile::tempdir().unwrap();
    for (proxy, sentence) in [
        ("socks5://user:secret@127.0.0.1:1", "HTTPS_PROXY names a SOCKS proxy"),
        ("no proxy: secret", "HTTPS_PROXY names no proxy that can be used"),
    ] {
        let output = gradus(home.path())
            .env("HTTPS_PROXY", proxy)
            .args(["data", "fetch", "mnist", "--mirror", "http://mirror.invalid"])
            .output()
            .unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(sentence) && !text.contains("secret"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_download_that_is_killed_leaves_no_half_file() {
    let home = tempfile::tempdir().unwrap();
    let published = home.path().join("published");
    fs::create_dir(&published).unwrap();
    publish(Set::find("emnist-digits").unwrap(), &published);
    let mirror = serve(published, true);
    let mut child = gradus(home.path())
        .args(["data", "fetch", "emnist-digits", "--data-dir", ".", "--mirror", &mirror])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let folder = home.path().join("emnist-digits");
    let begun = Instant::now();
    while fs::read_dir(&folder).map_or(0, |entries| entries.count()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the download never began");
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    let names = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let finished: Vec<String> = names.filter(|name| !name.ends_with(".part")).collect();
    assert!(finished.is_empty(), "{finished:?}");
}

#[test]
fn mistakes_end_with_one_sentence_and_a_code() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| gradus(home.path()).args(arguments).output().unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["data", "show", "mnits"], "no data set called `mnits`"),
        (&["data", "show", "kmnist", "--offline"], "kmnist was not found in"),
        (
            &["data", "show", "digits", "--class", "x"],
            "digits has no class `x`; choose one of 0, 1",
        ),
        (
            &["data", "fetch", "emnist-letters"],
            "cannot download emnist-gzip.zip: https://biometrics.nist.gov/",
        ),
        (
            &["data", "show", "digits", "--json", "/dev/null/x"],
            "--json /dev/null/x: /dev/null is no folder",
        ),
    ];
    for (arguments, sentence) in cases {
        let output = run(arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(
            text.starts_with("error: ") && text.contains(sentence),
            "{arguments:?}: {text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    for arguments in [
        &["data"][..],
        &["data", "show", "digits", "--count", "0"],
        &["--seed", "x", "data", "list"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
