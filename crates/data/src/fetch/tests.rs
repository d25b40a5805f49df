//! Downloads from a small server on this machine that does what a test tells it to.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::*;
use crate::ErrorKind;

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Answer {
    /// Sends what was asked for.
    Serve,
    /// Sends what was asked for, but closes the connection after so many bytes.
    Cut(usize),
    /// Sends everything, whatever range was asked for.
    IgnoreRange,
    /// Sends another part than the one asked for.
    WrongRange,
    /// Sends other bytes.
    Other,
    /// Sends without end.
    Endless,
    Status(u16),
}

struct Server {
    url: String,
    /// The ranges that were asked for, in order.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `body` under every name; answers in the given order, the last one for ever.
    fn start(body: Vec<u8>, answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mnist/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let answer = answers[index.min(answers.len() - 1)];
                // A client that has heard enough closes the connection.
                let _closed = serve(stream.unwrap(), &body, answer, &log);
            }
        });
        Self { url, requests }
    }

    fn config(&self) -> FetchConfig {
        config(&[&self.url])
    }

    fn ranges(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    body: &[u8],
    answer: Answer,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let (mut range, mut known) = (String::new(), true);
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if line.starts_with("GET ") {
            let expected = format!("GET /mnist/{NAME} HTTP/1.1");
            known &= line == expected;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("range: ") {
            range = value.to_owned();
        }
    }
    log.lock().unwrap().push(range.clone());
    let start =
        range.strip_prefix("bytes=").and_then(|range| range.trim_end_matches('-').parse().ok());
    let mut send = |status: &str, extra: &str, length: usize, body: &[u8]| {
        write!(
            stream,
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{extra}\r\n"
        )?;
        stream.write_all(body)
    };
    let part = |start: usize| {
        format!("Content-Range: bytes {start}-{}/{}\r\n", body.len() - 1, body.len())
    };
    match (answer, start) {
        _ if !known => send("404 no", "", 0, &[]),
        (Answer::Status(status), _) => send(&format!("{status} no"), "", 0, &[]),
        (Answer::Other, _) => send("200 OK", "", 100, &[7; 100]),
        (Answer::Endless, _) => send("200 OK", "", 1 << 40, &vec![7; 1 << 22]),
        (Answer::WrongRange, Some(_)) => send("206 Partial", &part(1), body.len() - 1, &body[1..]),
        (Answer::Serve, Some(start)) if start >= body.len() => send("416 no", "", 0, &[]),
        (Answer::Serve, Some(start)) => {
            send("206 Partial", &part(start), body.len() - start, &body[start..])
        }
        (Answer::Cut(bytes), Some(start)) => {
            let end = body.len().min(start + bytes);
            send("206 Partial", &part(start), body.len() - start, &body[start..end])
        }
        (Answer::Cut(bytes), None) => send("200 OK", "", body.len(), &body[..bytes]),
        (Answer::Serve | Answer::IgnoreRange | Answer::WrongRange, _) => {
            send("200 OK", "", body.len(), body)
        }
    }
}

fn config(mirrors: &[&str]) -> FetchConfig {
    let mirrors = mirrors.iter().map(|&mirror| mirror.to_owned()).collect();
    FetchConfig { mirrors, proxy: None, timeout: Duration::from_secs(5) }
}

/// A file of 100,000 bytes that hardly packs, and how it is published.
fn published() -> (PublishedFile, Vec<u8>) {
    let mut random = crate::random::Random::new(1, 1);
    let bytes: Vec<u8> = (0..100_000).map(|_| random.u32() as u8).collect();
    let hash = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&bytes).unwrap();
    let packed = encoder.finish().unwrap();
    let file = PublishedFile {
        name: "t10k-labels-idx1-ubyte",
        sha256: String::leak(hash),
        bytes: 100_000,
        packing: Packing::Gzip { bytes: packed.len() as u64 },
    };
    (file, packed)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const NAME: &str = "t10k-labels-idx1-ubyte.gz";
const PART: &str = "t10k-labels-idx1-ubyte.gz.part";

fn run(folder: &Path, config: &FetchConfig) -> Result<Vec<FetchedFile>, Error> {
    fetch(&[published().0], folder, config, &mut |_| {})
}

#[test]
fn a_download_arrives_and_is_kept() {
    let (file, packed) = published();
    let server = Server::start(packed.clone(), vec![Answer::Serve]);
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data").join("mnist");
    let mut seen = Vec::new();
    let fetched = fetch(&[file], &folder, &server.config(), &mut |progress| {
        assert_eq!(progress.expected_bytes, packed.len() as u64);
        seen.push(progress.received_bytes);
    });
    let url = format!("{}{NAME}", server.url);
    let expected = FetchedFile { path: folder.join(NAME), origin: Origin::Downloaded { url } };
    assert_eq!(fetched.unwrap(), [expected]);
    assert!(seen.is_sorted() && seen.last() == Some(&(packed.len() as u64)), "{seen:?}");
    assert_eq!(fs::read(folder.join(NAME)).unwrap(), packed);
    assert_eq!(names(&folder), [NAME]);
    // A second time nothing is asked for.
    let kept = FetchedFile { path: folder.join(NAME), origin: Origin::Kept };
    assert_eq!(run(&folder, &server.config()).unwrap(), [kept]);
    assert_eq!(server.ranges(), [""]);
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let (_, packed) = published();
    let folder = tempfile::tempdir().unwrap();
    let answers = vec![Answer::Cut(30_000), Answer::Cut(20_000), Answer::Serve];
    let server = Server::start(packed.clone(), answers);
    run(folder.path(), &server.config()).unwrap();
    assert_eq!(server.ranges(), ["", "bytes=30000-", "bytes=50000-"]);
    assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), packed);
    assert_eq!(names(folder.path()), [NAME]);
}

#[test]
fn a_cut_download_goes_on_in_the_next_run_and_from_another_mirror() {
    let (_, packed) = published();
    let folder = tempfile::tempdir().unwrap();
    let broken = Server::start(packed.clone(), vec![Answer::Cut(40_000), Answer::Status(503)]);
    let error = run(folder.path(), &broken.config()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.to_string().contains("status 503"), "{error}");
    assert_eq!(names(folder.path()), [PART], "what has arrived is kept");
    let good = Server::start(packed.clone(), vec![Answer::Serve]);
    run(folder.path(), &config(&[&broken.url, &good.url])).unwrap();
    assert_eq!(broken.ranges(), ["", "bytes=40000-", "bytes=40000-"]);
    assert_eq!(good.ranges(), ["bytes=40000-"]);
    assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), packed);
}

#[test]
fn servers_that_cannot_resume() {
    let (_, packed) = published();
    for answer in [Answer::IgnoreRange, Answer::WrongRange, Answer::Serve] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(PART), &packed[..1000]).unwrap();
        let server = Server::start(packed.clone(), vec![answer]);
        // A mirror that delivers another part gives way to the next one, which starts from the beginning.
        run(folder.path(), &config(&[&server.url, &server.url])).unwrap();
        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), packed);
        assert_eq!(names(folder.path()), [NAME]);
    }
}

#[test]
fn a_partial_file_that_is_complete_or_of_another_file() {
    let (_, packed) = published();
    let longer = [&packed[..], &[1, 2, 3]].concat();
    for part in [packed.clone(), vec![9; 1000], vec![9; packed.len()], longer] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(PART), part).unwrap();
        let server = Server::start(packed.clone(), vec![Answer::Serve]);
        run(folder.path(), &server.config()).unwrap();
        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), packed);
        assert_eq!(names(folder.path()), [NAME]);
    }
}

#[test]
fn wrong_contents_leave_nothing_behind_and_the_old_file_alone() {
    let (_, packed) = published();
    for answer in [Answer::Other, Answer::Endless] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), b"an old file").unwrap();
        let server = Server::start(packed.clone(), vec![answer]);
        let error = run(folder.path(), &server.config()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network);
        assert!(error.to_string().contains(&server.url), "{error}");
        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), b"an old file");
        assert_eq!(names(folder.path()), [NAME], "{error}");
        // The next mirror is asked, and has it.
        let good = Server::start(packed.clone(), vec![Answer::Serve]);
        run(folder.path(), &config(&[&server.url, &good.url])).unwrap();
        assert_eq!(names(folder.path()), [NAME]);
        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), packed);
    }
}

#[test]
fn no_server_no_mirror_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let error = run(folder.path(), &config(&[&url, "http://name.invalid"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    let message = error.to_string();
    assert!(message.contains(&url) && message.contains("name.invalid"), "{message}");
    assert!(error.hint().is_some());
    assert_eq!(run(folder.path(), &config(&[])).unwrap_err().kind(), ErrorKind::Network);
    let file = folder.path().join("file");
    fs::write(&file, b"no folder").unwrap();
    assert_eq!(run(&file, &config(&[&url])).unwrap_err().kind(), ErrorKind::Io);
    let proxy = FetchConfig { proxy: Some("no proxy".to_owned()), ..config(&[&url]) };
    assert_eq!(run(folder.path(), &proxy).unwrap_err().kind(), ErrorKind::BadValue);
}

#[test]
fn an_unpacked_file_is_kept_or_named_as_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("t10k-labels-idx1-ubyte");
    fs::write(&plain, b"of another dataset").unwrap();
    let error = run(folder.path(), &config(&[])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checksum);
    assert_eq!(fs::read(&plain).unwrap(), b"of another dataset");
    let (_, packed) = published();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut bytes).unwrap();
    fs::write(&plain, bytes).unwrap();
    let kept = FetchedFile { path: plain, origin: Origin::Kept };
    assert_eq!(run(folder.path(), &config(&[])).unwrap(), [kept]);
}

/// An archive has the checksum of itself, and exactly its size.
#[test]
fn a_file_that_is_published_as_it_is() {
    let body: Vec<u8> = (0..60_000u32).map(|at| (at * at / 7) as u8).collect();
    let archive = || {
        let sha256 = Sha256::digest(&body).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        PublishedFile {
            name: NAME,
            sha256: String::leak(sha256),
            bytes: body.len() as u64,
            packing: Packing::None,
        }
    };
    let run = |folder: &Path, config: &FetchConfig| {
        let mut last = (0, 0);
        let fetched = fetch(&[archive()], folder, config, &mut |progress| {
            last = (progress.received_bytes, progress.expected_bytes);
        });
        (fetched, last)
    };
    let folder = tempfile::tempdir().unwrap();
    let answers = vec![Answer::Cut(25_000), Answer::Status(503)];
    let broken = Server::start(body.clone(), answers);
    let (error, last) = run(folder.path(), &broken.config());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Network);
    assert_eq!((last, names(folder.path())), ((25_000, 60_000), vec![PART.to_owned()]));
    let good = Server::start(body.clone(), vec![Answer::Serve]);
    let path = folder.path().join(NAME);
    let (fetched, last) = run(folder.path(), &good.config());
    assert_eq!(fetched.unwrap()[0].path, path);
    assert_eq!((good.ranges(), last), (vec!["bytes=25000-".to_owned()], (60_000, 60_000)));
    assert!(fs::read(&path).unwrap() == body);
    let (kept, _) = run(folder.path(), &config(&[]));
    assert_eq!(kept.unwrap(), [FetchedFile { path: path.clone(), origin: Origin::Kept }]);

    // A damaged file is replaced, and only by the right one.
    fs::write(&path, b"damaged").unwrap();
    for answer in [Answer::Other, Answer::Endless] {
        let (error, _) = run(folder.path(), &Server::start(body.clone(), vec![answer]).config());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Network);
        assert_eq!(fs::read(&path).unwrap(), b"damaged");
        assert_eq!(names(folder.path()), [NAME]);
    }
    assert!(run(folder.path(), &good.config()).0.is_ok());
    assert!(fs::read(&path).unwrap() == body);
}

#[test]
fn every_dataset_with_files_has_mirrors() {
    for &name in DatasetName::ALL {
        assert_eq!(FetchConfig::of(name).mirrors.is_empty(), name.is_generated(), "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    let nothing = FetchConfig::of(DatasetName::Shapes);
    let fetched = fetch_dataset(DatasetName::Shapes, folder.path(), &nothing, &mut |_| {});
    assert_eq!((fetched.unwrap(), names(folder.path()).len()), (vec![], 0));
    for (name, file) in [
        (DatasetName::Mnist, "train-images-idx3"),
        (DatasetName::Cifar10, "cifar-10-binary.tar.gz"),
    ] {
        let error = fetch_dataset(name, folder.path(), &config(&[]), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
}

/// Of weights only the beginning of the checksum is known, and not the size.
#[test]
fn weights_are_known_by_the_beginning_of_their_checksum() {
    let body: Vec<u8> = (0..40_000u32).map(|at| (at * 31 % 251) as u8).collect();
    let hash = Sha256::digest(&body).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    let file = |sha256: &str| PublishedFile {
        name: NAME,
        sha256: String::leak(sha256.to_owned()),
        bytes: 1 << 20,
        packing: Packing::None,
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(body.clone(), vec![Answer::Serve]);
    let run = |file| fetch(&[file], folder.path(), &server.config(), &mut |_| {});
    let error = run(file("00000000")).unwrap_err().to_string();
    assert!(error.contains("00000000") && names(folder.path()).is_empty(), "{error}");
    run(file(&hash[..8])).unwrap();
    assert!(fs::read(folder.path().join(NAME)).unwrap() == body);
}

#[test]
fn weights_have_names_that_say_their_checksum() {
    let mut count = 0;
    for network in Weights::networks() {
        let weights = Weights::of(network).unwrap();
        let name = weights.file_name();
        let (own, hash) = name.strip_suffix(".pth").unwrap().split_once('-').unwrap();
        assert_eq!((own.to_uppercase().as_str(), hash), (network, weights.file.sha256));
        assert!(weights.url().ends_with(name) && weights.url().contains("/bnn_pynq-r"));
        count += 1;
    }
    assert_eq!(count, 12);
    assert!(Weights::of("TFC_3W3A").is_none());
    let folder = tempfile::tempdir().unwrap();
    let weights = Weights::of("TFC_2W2A").unwrap();
    let error = fetch_weights(weights, folder.path(), &config(&[]), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("tfc_2w2a-6e5623ac.pth"), "{error}");
}
