//! Files from the net: from the first mirror that has them, checked by their SHA-256, and in their place only when whole.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flate2::write::MultiGzDecoder;
use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use gradus::save::atomic;

use crate::terminal::eprint_line;

/// A file to be fetched.
#[derive(Debug, Clone, Default)]
pub struct Download {
    /// The name that it gets in its folder. If it ends in `.gz`, the file must be gzipped.
    pub name: String,
    /// The addresses of copies, to be tried in order.
    pub urls: Vec<String>,
    /// What the file must be, where that is known.
    pub check: Option<Checksum>,
}

/// The SHA-256 that a file must have, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// Of its content, decompressed if it is gzipped: copies may differ in their compression.
    Content(String),
    /// Of its bytes as they come.
    File(String),
}

/// What a mirror may cost before the next one is tried.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time to reach it, to hear its first word, and between any two later ones, each.
    pub answer: Duration,
    /// Time to receive the file.
    pub transfer: Duration,
    /// Bytes of the file, and of its content.
    pub bytes: u64,
}

impl Default for Limits {
    /// Half a gigabyte, ten seconds for an answer, fifteen minutes for the file.
    fn default() -> Self {
        Limits {
            answer: Duration::from_secs(10),
            transfer: Duration::from_secs(15 * 60),
            bytes: 1 << 29,
        }
    }
}

/// Fetches a file into a folder, which is made where it's missing. A file of the name that is there is replaced, when the
/// new one is complete and checked. Unless `quiet`, the progress is shown on standard error: a bar on a terminal, one line
/// at the end elsewhere.
///
/// # Errors
/// If no mirror gives the file: a sentence that says of each what went wrong. The folder then holds what it held before.
pub fn fetch(wanted: &Download, folder: &Path, limits: Limits, quiet: bool) -> Result<()> {
    ensure!(!wanted.urls.is_empty(), "no address is known for {}", wanted.name);
    if !wanted.urls.iter().all(|url| is_local(url)) {
        check_proxy(|variable| std::env::var_os(variable))?;
    }
    let config = ureq::Agent::config_builder()
        .timeout_resolve(Some(limits.answer))
        .timeout_connect(Some(limits.answer))
        .timeout_recv_response(Some(limits.answer))
        .timeout_recv_body(Some(limits.transfer))
        .timeout_per_read(Some(limits.answer))
        .user_agent(concat!("gradus/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent = ureq::Agent::new_with_config(config);
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    atomic::remove_unfinished(folder);
    let mut failures = Vec::new();
    for url in &wanted.urls {
        let fetched = atomic::write_with(&folder.join(&wanted.name), |file| {
            transfer(&agent, url, wanted, limits, quiet, file)
        });
        match fetched {
            Ok(size) => {
                if !quiet {
                    eprint_line(format_args!(
                        "{}: {} from {}",
                        wanted.name,
                        DecimalBytes(size),
                        public(url)
                    ));
                }
                return Ok(());
            }
            // A refused address is part of its error.
            Err(error) => failures.push(format!(
                "{}: {}",
                public(url),
                format!("{error:#}").replace(url, &public(url))
            )),
        }
    }
    bail!("cannot download {}: {}", wanted.name, failures.join("; "))
}

/// Whether an address is one of this machine.
fn is_local(url: &str) -> bool {
    let host = url.parse::<ureq::http::Uri>().ok();
    let host = host.as_ref().and_then(|uri| uri.host());
    matches!(host, Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// The address without the user and the password that may be in it.
fn public(url: &str) -> Cow<'_, str> {
    let start = url.find("://").map_or(0, |i| i + 3);
    let authority = url[start..].split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{}***{}", &url[..start], &url[start + at..]).into(),
        None => url.into(),
    }
}

/// Refuses a proxy that the environment names and that can't be used: without a word, files would come from the net directly. What it
/// says has no part of the address, which may have a password.
fn check_proxy(variable: impl Fn(&str) -> Option<OsString>) -> Result<()> {
    // In the order in which they are tried.
    let names = [
        "ALL_PROXY",
        "all_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
    ];
    let set = names
        .iter()
        .find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)));
    let Some((name, value)) = set else { return Ok(()) };
    let proxy = value.to_str().and_then(|value| ureq::Proxy::new(value).ok());
    let Some(proxy) = proxy else {
        bail!("the environment variable {name} names no proxy that can be used: it should be like http://host:port");
    };
    ensure!(
        matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https),
        "the environment variable {name} names a SOCKS proxy, which can't be used: name one like http://host:port"
    );
    Ok(())
}

/// Copies what one mirror sends into `file`, checked; returns its size.
fn transfer(
    agent: &ureq::Agent,
    url: &str,
    wanted: &Download,
    limits: Limits,
    quiet: bool,
    file: &mut dyn Write,
) -> Result<u64> {
    let mut request = agent.get(url);
    if is_local(url) {
        // A proxy can't reach what listens here.
        request = request.config().proxy(None).build();
    }
    let response = request.call().map_err(|error| match error {
        ureq::Error::StatusCode(code) => anyhow::anyhow!("the server answered with status {code}"),
        error => anyhow::Error::new(error),
    })?;
    let body = response.into_body();
    let announced = body.content_length();
    ensure!(
        announced.is_none_or(|size| size <= limits.bytes),
        "the file is larger than {}",
        DecimalBytes(limits.bytes)
    );
    let bar = bar(wanted, announced, quiet);
    let mut reader = bar.wrap_read(body.into_reader());
    let mut checker = ChecksumVerifier::new(wanted, limits.bytes);
    let mut chunk = vec![0; 1 << 16];
    let mut received = 0;
    loop {
        let count = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("the transfer broke off after {}", DecimalBytes(received)));
            }
        };
        received += count as u64;
        ensure!(
            received <= limits.bytes,
            "the file is larger than {}",
            DecimalBytes(limits.bytes)
        );
        checker.take(&chunk[..count])?;
        file.write_all(&chunk[..count]).context("cannot write the file")?;
    }
    bar.finish_and_clear();
    checker.finish(wanted.check.as_ref())?;
    Ok(received)
}

/// A progress bar, which shows on a terminal only.
fn bar(wanted: &Download, size: Option<u64>, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let template = match size {
        Some(_) => {
            "{prefix}  {bar:30.blue/dim}  {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left"
        }
        None => "{prefix}  {spinner}  {decimal_bytes}, {decimal_bytes_per_sec}",
    };
    let bar = size.map_or_else(ProgressBar::no_length, ProgressBar::new);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.with_prefix(wanted.name.clone())
}

/// Computes the sums of a file while it passes.
struct ChecksumVerifier {
    file: Sha256,
    content: Option<MultiGzDecoder<HashedContent>>,
}

/// The sum and the size of a gzipped file's content.
struct HashedContent {
    sum: Sha256,
    size: u64,
    limit: u64,
}

impl ChecksumVerifier {
    fn new(wanted: &Download, limit: u64) -> Self {
        let gzipped = wanted.name.ends_with(".gz");
        ChecksumVerifier {
            file: Sha256::new(),
            content: gzipped.then(|| {
                MultiGzDecoder::new(HashedContent {
                    sum: Sha256::new(),
                    size: 0,
                    limit,
                })
            }),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.update(bytes);
        match &mut self.content {
            Some(decoder) => decoder
                .write_all(bytes)
                .context("what it sends is no gzip file, or a damaged one"),
            None => Ok(()),
        }
    }

    fn finish(self, check: Option<&Checksum>) -> Result<()> {
        let file = hexadecimal(&self.file.finalize());
        let content = match self.content {
            Some(decoder) => {
                let content = decoder.finish().context("its gzip file is cut off or damaged")?;
                ensure!(content.size > 0, "its gzip file is empty");
                hexadecimal(&content.sum.finalize())
            }
            None => file.clone(),
        };
        let (found, expected) = match check {
            None => return Ok(()),
            Some(Checksum::Content(expected)) => (content, expected),
            Some(Checksum::File(expected)) => (file, expected),
        };
        ensure!(
            found.eq_ignore_ascii_case(expected),
            "it sent another file (SHA-256 {found}, expected {expected})"
        );
        Ok(())
    }
}

impl Write for HashedContent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            return Err(io::Error::other(format!(
                "its content is larger than {}",
                DecimalBytes(self.limit)
            )));
        }
        self.sum.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of a file's content, decompressed if the name ends in `.gz`, or of its bytes, as the check asks: whether it
/// is what it must be.
///
/// # Errors
/// If the file can't be read, is damaged, or is another one.
pub fn verify(path: &Path, check: &Checksum) -> Result<()> {
    let name = path.to_string_lossy().into_owned();
    let wanted = Download {
        name,
        ..Download::default()
    };
    let verified = (|| {
        let mut checker = ChecksumVerifier::new(&wanted, u64::MAX);
        let mut file = fs::File::open(path)?;
        let mut chunk = vec![0; 1 << 16];
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                count => checker.take(&chunk[..count])?,
            }
        }
        checker.finish(Some(check))
    })();
    verified.with_context(|| path.display().to_string())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::thread;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A server on this machine that treats each connection by its path, for as long as the test runs.
    fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> String {
        let answer = Arc::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut lines = io::BufReader::new(stream.try_clone().unwrap()).lines();
                    let request = lines.next().unwrap().unwrap();
                    lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
                    answer(request.split(' ').nth(1).unwrap(), &mut stream);
                });
            }
        });
        address
    }

    fn head(stream: &mut TcpStream, status: &str, length: usize) {
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
    }

    fn content() -> Vec<u8> {
        (0..300_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect()
    }

    fn gzipped() -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&content()).unwrap();
        encoder.finish().unwrap()
    }

    /// What the server of the tests has.
    fn mirror() -> String {
        serve(|path, stream| {
            let file = gzipped();
            match path {
                "/good.gz" => {
                    head(stream, "200 OK", file.len());
                    stream.write_all(&file).unwrap();
                }
                "/moved.gz" => {
                    write!(
                        stream,
                        "HTTP/1.1 302 Found\r\nLocation: /good.gz\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )
                    .unwrap();
                }
                "/truncated.gz" => {
                    head(stream, "200 OK", file.len());
                    stream.write_all(&file[..file.len() / 2]).unwrap();
                }
                "/short.gz" => {
                    // Cut off on the server: the length is right for what comes.
                    head(stream, "200 OK", file.len() / 2);
                    stream.write_all(&file[..file.len() / 2]).unwrap();
                }
                "/stalled.gz" => {
                    head(stream, "200 OK", file.len());
                    stream.write_all(&file[..file.len() / 2]).unwrap();
                    thread::sleep(Duration::from_secs(3));
                }
                "/page.gz" => {
                    head(stream, "200 OK", 13);
                    stream.write_all(b"<html></html>").unwrap();
                }
                "/vast.gz" => head(stream, "200 OK", 1 << 40),
                _ => head(stream, "404 Not Found", 0),
            }
        })
    }

    fn wanted(urls: Vec<String>) -> Download {
        Download {
            name: "file.gz".into(),
            urls,
            check: Some(Checksum::Content(hexadecimal(&Sha256::digest(content())))),
        }
    }

    fn quick() -> Limits {
        Limits {
            answer: Duration::from_millis(1500),
            transfer: Duration::from_millis(1500),
            bytes: 1 << 20,
        }
    }

    /// Fetches from paths of a mirror into a folder with an older file; the sentence if that fails, and then the older file
    /// must be there still, alone.
    fn fetch_from(paths: &[&str], limits: Limits, change: impl FnOnce(&mut Download)) -> Result<Vec<u8>, String> {
        let (mirror, folder) = (mirror(), tempfile::tempdir().unwrap());
        let path = folder.path().join("file.gz");
        fs::write(&path, b"old").unwrap();
        let mut wanted = wanted(paths.iter().map(|path| format!("{mirror}{path}")).collect());
        change(&mut wanted);
        let result = fetch(&wanted, folder.path(), limits, true);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing but the file is left"
        );
        let file = fs::read(&path).unwrap();
        match result {
            Ok(()) => Ok(file),
            Err(error) => {
                assert_eq!(file, b"old");
                Err(format!("{error:#}").replace(&mirror, ""))
            }
        }
    }

    #[test]
    fn a_good_file_arrives() {
        for path in ["/good.gz", "/moved.gz"] {
            assert_eq!(fetch_from(&[path], quick(), |_| ()).unwrap(), gzipped());
        }
        let file = hexadecimal(&Sha256::digest(gzipped())).to_uppercase();
        let fetched = fetch_from(&["/good.gz"], quick(), |wanted| {
            wanted.check = Some(Checksum::File(file))
        });
        assert_eq!(fetched.unwrap(), gzipped());
    }

    #[test]
    fn the_next_mirror_is_tried() {
        for path in [
            "/none.gz",
            "/truncated.gz",
            "/short.gz",
            "/stalled.gz",
            "/page.gz",
            "/vast.gz",
        ] {
            assert_eq!(
                fetch_from(&[path, "/good.gz"], quick(), |_| ()).unwrap(),
                gzipped(),
                "{path}"
            );
        }
    }

    #[test]
    fn the_error_says_what_failed_at_each_mirror() {
        let paths = [
            "/none.gz",
            "/truncated.gz",
            "/short.gz",
            "/stalled.gz",
            "/page.gz",
            "/vast.gz",
        ];
        let message = fetch_from(&paths, quick(), |_| ()).unwrap_err();
        let parts: Vec<&str> = message.split("; ").collect();
        assert_eq!(
            parts[0],
            "cannot download file.gz: /none.gz: the server answered with status 404"
        );
        assert!(
            parts[1].starts_with("/truncated.gz: the transfer broke off after"),
            "{message}"
        );
        assert!(parts[2].starts_with("/short.gz: its gzip file is cut off"), "{message}");
        assert!(
            parts[3].starts_with("/stalled.gz: the transfer broke off after") && parts[3].contains("timeout"),
            "{message}"
        );
        assert!(
            parts[4].starts_with("/page.gz: what it sends is no gzip file"),
            "{message}"
        );
        assert_eq!(parts[5], "/vast.gz: the file is larger than 1.05 MB");
    }

    #[test]
    fn another_file_is_refused() {
        let message = fetch_from(&["/good.gz"], quick(), |wanted| {
            wanted.check = Some(Checksum::Content("00".repeat(32)));
        });
        let message = message.unwrap_err();
        assert!(
            message.contains("it sent another file (SHA-256 ") && message.contains("expected 0000"),
            "{message}"
        );
    }

    #[test]
    fn content_beyond_the_limit_is_refused() {
        let bomb = {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&vec![0; 4 << 20]).unwrap();
            encoder.finish().unwrap()
        };
        let mirror = serve(move |_, stream| {
            head(stream, "200 OK", bomb.len());
            stream.write_all(&bomb).unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        let message = format!(
            "{:#}",
            fetch(&wanted(vec![mirror + "/"]), folder.path(), quick(), true).unwrap_err()
        );
        assert!(message.contains("its content is larger than 1.05 MB"), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_mirror_that_is_not_there_is_named() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("http://{port}/file.gz");
        let message = format!(
            "{:#}",
            fetch(&wanted(vec![url.clone()]), folder.path(), quick(), true).unwrap_err()
        );
        assert!(
            message.starts_with(&format!("cannot download file.gz: {url}: ")),
            "{message}"
        );
        assert!(message.contains("refused"), "{message}");
    }

    #[test]
    fn passwords_in_addresses_are_not_told() {
        for (url, shown) in [
            ("https://user:p@ss@host/a@b", "https://***@host/a@b"),
            ("http://token@host:80?x", "http://***@host:80?x"),
            ("https://host/~user@x", "https://host/~user@x"),
            ("user:secret@host", "***@host"),
        ] {
            assert_eq!(public(url), shown);
        }
        let folder = tempfile::tempdir().unwrap();
        for url in [
            "http://user:secret@127.0.0.1:1/x",
            "http://user:secret@127.0.0.1:none/x",
            "http://user:secret@/x",
        ] {
            let message = format!(
                "{:#}",
                fetch(&wanted(vec![url.into()]), folder.path(), quick(), true).unwrap_err()
            );
            assert!(!message.contains("secret") && message.contains("***@"), "{message}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused() {
        let check = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
            check_proxy(value).map_err(|e| e.to_string())
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(
            check(&[("ALL_PROXY", ""), ("https_proxy", "http://user:secret@proxy:3128")]),
            Ok(())
        );
        assert_eq!(check(&[("HTTP_PROXY", "proxy:3128")]), Ok(()));
        for bad in [
            "socks5://user:secret@proxy:1080",
            "ftp://user:secret@proxy",
            "http://user:secret@",
            "::secret",
        ] {
            let message = check(&[("HTTPS_PROXY", bad), ("HTTP_PROXY", "http://proxy:80")]).unwrap_err();
            assert!(
                message.contains("HTTPS_PROXY") && !message.contains("secret"),
                "{message}"
            );
        }
    }

    #[test]
    fn only_this_machine_is_local() {
        for url in [
            "http://127.0.0.1:80/x",
            "https://localhost/x",
            "http://user@localhost",
            "http://[::1]:8/x",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "http://localhost.example.org/",
            "http://127.0.0.1.example.org/x",
            "http://a/127.0.0.1",
            "x",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }

    #[test]
    fn files_on_disk_are_verified() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.gz");
        fs::write(&path, gzipped()).unwrap();
        let right = wanted(vec![]).check.unwrap();
        verify(&path, &right).unwrap();
        fs::write(&path, &gzipped()[..1000]).unwrap();
        let message = format!("{:#}", verify(&path, &right).unwrap_err());
        assert!(message.contains("file.gz: its gzip file is cut off"), "{message}");
        // Compressed anew, at other levels and in two parts, it is another file of the same content.
        let (one, two) = (content(), content());
        let (head, tail) = two.split_at(two.len() / 3);
        for parts in [&[&one[..]][..], &[head, tail]] {
            for level in [0, 1, 9] {
                let mut anew = Vec::new();
                for part in parts {
                    let mut gzip = GzEncoder::new(&mut anew, Compression::new(level));
                    gzip.write_all(part).unwrap();
                    gzip.finish().unwrap();
                }
                fs::write(&path, &anew).unwrap();
                verify(&path, &right).unwrap();
                let published = Checksum::File(hexadecimal(&Sha256::digest(gzipped())));
                assert_eq!(verify(&path, &published).is_ok(), anew == gzipped());
            }
        }
        let plain = folder.path().join("plain");
        fs::write(&plain, content()).unwrap();
        verify(&plain, &right).unwrap();
        assert!(verify(&folder.path().join("none"), &right).is_err());
    }
}
