//! What an attacker may send to the server: every answer is an error in plain words, the server goes on, and no session sees another.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use segvol_server::Token;
use segvol_tests::golden::data;
use segvol_tests::http::{Client, answer};
use segvol_tests::server::{Running, prompts, session, session_with, start};
use serde_json::{Value, json};

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn scan() -> Vec<u8> {
    std::fs::read(data(SCAN)).expect("a scan")
}

/// The server still answers.
fn assert_alive(client: &Client) {
    assert_eq!(client.send("GET", "/health/live", b"").status, 200);
}

/// Every operation of the interface: method and path, with a session's id in it.
fn operations(id: &str) -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&segvol_server::openapi().expect("JSON")).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").clone();
    let each = |(path, item): (String, Value)| {
        let methods: Vec<String> = item.as_object().expect("methods").keys().map(|name| name.to_uppercase()).collect();
        methods.into_iter().map(move |method| (method, path.replace("{id}", id))).collect::<Vec<_>>()
    };
    let all: Vec<_> = paths.into_iter().flat_map(each).collect();
    assert!(all.len() > 10, "{all:?}");
    all
}

#[test]
fn nothing_is_answered_without_the_token() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |settings| settings.token = Some(Token::new(TOKEN).expect("fits")));
    let (nobody, owner) = (server.client(), server.client().with("authorization", &format!("Bearer {TOKEN}")));
    let path = session_with(&owner, &scan());
    let id = path.rsplit('/').next().expect("an id");
    let wrong = [
        nobody.clone(),
        nobody.with("authorization", "Bearer "),
        nobody.with("authorization", &format!("Bearer {}", &TOKEN[1..])),
        nobody.with("authorization", &format!("Basic {TOKEN}")),
        nobody.with("authorization", &format!("Bearer {TOKEN}x")),
        nobody.with("authorization", "Bearer a").with("authorization", &format!("Bearer {TOKEN}")),
    ];
    let mut all = operations(id);
    all.extend([("GET".to_owned(), "/metrics".to_owned()), ("GET".to_owned(), "/v1/openapi.json".to_owned())]);
    for (method, path) in &all {
        for client in &wrong {
            let refused = client.send(method, path, b"");
            assert_eq!((refused.status, refused.code().as_str()), (401, "unauthorized"), "{method} {path}");
            assert!(refused.headers["www-authenticate"].starts_with("Bearer"), "{method} {path}");
            assert!(!refused.text().contains(TOKEN));
        }
    }
    assert_eq!(owner.send("GET", &path, b"").status, 200, "the session is untouched");
    // Health has nothing to hide.
    assert_eq!(nobody.send("GET", "/health/live", b"").status, 200);
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let mut settings = segvol_server::Settings::new(segvol::StudyOptions::default());
        settings.bind = address.parse().expect("an address");
        let refused = segvol_server::Server::bind(server.model.clone(), settings).err();
        assert!(matches!(refused, Some(segvol_server::ServeError::Exposed(_))), "{address}");
    }
}

#[test]
fn sessions_of_others_cannot_be_named() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let path = session(&client);
    let id = path.rsplit('/').next().expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let other = session(&client);
    assert_ne!(path, other);
    let changed = format!("{}{}", &id[..31], if id.ends_with('0') { '1' } else { '0' });
    for wrong in [
        &changed,
        &id[..31],
        &id.to_uppercase().replace(char::is_numeric, "A"),
        "%ff",
        "%00",
        "..%2f..",
        "*",
        "' or 1=1",
        "a b",
    ] {
        let wrong = wrong.replace(' ', "%20");
        for (method, path) in operations(&wrong).into_iter().filter(|(_, path)| path.contains("sessions/")) {
            let refused = client.send(&method, &path, b"");
            assert_eq!(refused.status, 404, "{method} {path}: {}", refused.text());
            assert!(["no_such_session", "no_such_path"].contains(&refused.code().as_str()), "{method} {path}");
        }
    }
    for path in
        ["/../etc/passwd", "/v1/../../etc/passwd", "//etc/passwd", "/%2e%2e/etc/passwd", "/assets/../../etc/passwd"]
    {
        let refused = client.send("GET", path, b"");
        assert!([400, 404].contains(&refused.status) && !refused.text().contains("root:"), "{path}");
    }
}

#[test]
fn pages_of_other_sites_cannot_use_the_server() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example"),
    ] {
        let refused = client.with(name, value).send("POST", "/v1/sessions", b"");
        assert_eq!((refused.status, refused.code().as_str()), (403, "other_site"), "{name}: {value}");
        assert!(!refused.headers.keys().any(|name| name.starts_with("access-control")), "no site is allowed");
    }
    let own = client.with("origin", &format!("http://{}", server.address));
    assert_eq!(own.send("POST", "/v1/sessions", b"").status, 201);
}

#[test]
fn lengths_may_be_huge_or_lies() {
    let folder = segvol_tests::folder!();
    let uploads = segvol_tests::folder!();
    let server = start(folder.path(), |settings| {
        settings.limits.upload_bytes = 1 << 20;
        settings.limits.sessions = 16;
        settings.limits.pause = Duration::from_secs(1);
        settings.uploads = Some(uploads.path().to_owned());
    });
    let client = server.client();
    let path = format!("{}/scan", session(&client));
    // Refused by what it says, before anything is sent.
    for length in [(1 << 20) + 1, u64::MAX / 2] {
        let refused = answer(client.begin("PUT", &path, length));
        assert_eq!((refused.status, refused.code().as_str()), (413, "too_large"), "{length}");
    }
    // More than it says is not read; less is noticed.
    let mut short = client.begin("PUT", &path, 1000);
    short.write_all(b"only this").expect("a server");
    short.shutdown(std::net::Shutdown::Write).expect("a socket");
    assert_eq!(answer(short).status, 400);
    // Without a length, by what arrives.
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        server.address
    );
    let mut endless = client.raw(head.as_bytes());
    let chunk = [&b"10000\r\n"[..], &[7; 1 << 16], b"\r\n"].concat();
    let sent = (0..1000).take_while(|_| endless.write_all(&chunk).is_ok()).count();
    assert!(sent < 1000, "the server stops reading");
    // Slow ones end, and do not keep others waiting.
    let began = Instant::now();
    drop(endless);
    let uploading = || client.begin("PUT", &format!("{}/scan", session(&client)), 1000);
    let slow: Vec<TcpStream> = (0..8).map(|_| uploading()).collect();
    let silent: Vec<TcpStream> = (0..8).map(|_| client.raw(b"GET / HT")).collect();
    assert_alive(&client);
    for stream in slow {
        let refused = answer(stream);
        assert_eq!((refused.status, refused.code().as_str()), (408, "too_slow"));
    }
    for mut stream in silent {
        let _ = stream.read(&mut [0; 64]);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(std::fs::read_dir(uploads.path()).expect("a folder").count(), 0, "no upload has left a file");
}

/// A NIfTI file whose header states this shape, compressed, with few voxels.
fn bomb(shape: [i16; 3]) -> Vec<u8> {
    let mut header = vec![0_u8; 352];
    header[..4].copy_from_slice(&348_i32.to_le_bytes());
    for (n, value) in [3, shape[0], shape[1], shape[2], 1, 1, 1, 1].into_iter().enumerate() {
        header[40 + 2 * n..42 + 2 * n].copy_from_slice(&value.to_le_bytes());
    }
    header[70..72].copy_from_slice(&4_i16.to_le_bytes());
    header[72..74].copy_from_slice(&16_i16.to_le_bytes());
    for n in 0..8 {
        header[76 + 4 * n..80 + 4 * n].copy_from_slice(&1_f32.to_le_bytes());
    }
    header[108..112].copy_from_slice(&352_f32.to_le_bytes());
    header[344..348].copy_from_slice(b"n+1\0");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&header).expect("memory");
    for _ in 0..64 {
        packed.write_all(&vec![0; 1 << 20]).expect("memory");
    }
    packed.finish().expect("memory")
}

fn upload(server: &Running, path: &str, body: &[u8]) -> (u16, String, String) {
    let refused = server.client().send("PUT", path, body);
    (refused.status, refused.code(), refused.text())
}

#[test]
fn files_that_pretend_to_be_scans_are_refused() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |settings| settings.limits.memory_bytes = Some(1 << 30));
    let client = server.client();
    let path = format!("{}/scan", session(&client));
    let bomb = bomb([1200, 1200, 1200]);
    assert!(bomb.len() < 1 << 20, "a small file");
    assert_eq!(upload(&server, &path, &bomb).0, 413, "as many voxels as its header says do not fit");
    let nrrd =
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 1200 1200 1200\nencoding: gzip\nendian: little\n\n\x1f\x8b";
    assert_eq!(upload(&server, &path, nrrd).0, 413);
    // Headers that name other files of this machine.
    let secret = folder.path().join("secret.raw");
    std::fs::write(&secret, vec![1_u8; 2000]).expect("write");
    let names = ["/etc/passwd".to_owned(), secret.display().to_string(), "../secret.raw".to_owned()];
    for name in &names {
        let nrrd = format!("NRRD0004\ntype: uchar\ndimension: 3\nsizes: 10 10 10\nencoding: raw\ndata file: {name}\n");
        let mha = format!(
            "ObjectType = Image\nNDims = 3\nDimSize = 10 10 10\nElementType = MET_UCHAR\nElementDataFile = {name}\n"
        );
        for text in [nrrd, mha] {
            let (status, _, message) = upload(&server, &path, text.as_bytes());
            assert_eq!(status, 422, "{message}");
            assert!(!message.contains("root:"), "{message}");
        }
    }
    for (what, body) in [
        ("nothing", Vec::new()),
        ("a text", b"hello".to_vec()),
        ("half a scan", scan()[..scan().len() / 2].to_vec()),
        ("a page", b"<html><script>alert(1)</script></html>".to_vec()),
        ("an empty zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
        ("zeros", vec![0; 100_000]),
    ] {
        let (status, _, message) = upload(&server, &path, &body);
        assert_eq!(status, 422, "{what}: {message}");
        assert!(!message.contains("/proc/"), "{what}: {message}");
    }
    assert_alive(&client);
}

#[test]
fn names_with_signs_stay_text() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let path = session_with(&client, &scan());
    let evil = "<img src=x onerror=alert(1)>\r\nX-Evil: 1\u{7f}\u{202e}\"/../../etc/passwd";
    let objects = prompts(json!([{"name": evil, "points": [[36, 30, 13, 1]]}]));
    let done = client.send("POST", &format!("{path}/segment"), &objects);
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json()["result"]["objects"][0]["name"], evil);
    for suffix in ["", "/mask", "/mask?format=seg.nrrd", "/mask/region", "/report", "/scan"] {
        let sent = client.send("GET", &format!("{path}{suffix}"), b"");
        assert_eq!(sent.status, 200, "{suffix}");
        assert!(!sent.headers.contains_key("x-evil"), "{suffix}");
        assert_eq!(sent.headers["x-content-type-options"], "nosniff", "{suffix}");
        assert!(!sent.headers["content-type"].contains("html"), "{suffix}");
        if let Some(disposition) = sent.headers.get("content-disposition") {
            assert!(!disposition.contains("img"), "{disposition}");
        }
    }
    let query = client.send("GET", &format!("{path}/mask?format=%0d%0aX-Evil:%201"), b"");
    assert_eq!((query.status, query.headers.contains_key("x-evil")), (400, false));
}

#[test]
fn prompts_that_are_none_are_refused() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let path = session_with(&client, &scan());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for wrong in [
        "{".to_owned(),
        "[]".to_owned(),
        "5".to_owned(),
        deep,
        r#"{"schema_version": 2, "objects": []}"#.to_owned(),
        r#"{"schema_version": 1, "objects": [], "colour": "red"}"#.to_owned(),
        r#"{"schema_version": 1, "objects": [], "space": "AAA"}"#.to_owned(),
        r#"{"schema_version": 1, "objects": [{}]}"#.to_owned(),
        r#"{"schema_version": 1, "objects": [{"points": [[1, 2]]}]}"#.to_owned(),
        r#"{"schema_version": 1, "objects": [{"points": [[1e999, 2, 3]]}]}"#.to_owned(),
        "\u{feff}".to_owned(),
    ] {
        for (method, place) in [("PUT", "objects"), ("POST", "segment")] {
            let refused = client.send(method, &format!("{path}/{place}"), wrong.as_bytes());
            assert_eq!((refused.status, refused.code().as_str()), (422, "bad_prompts"), "{place}: {:.60}", wrong);
        }
    }
    let refused = client.send("PUT", &format!("{path}/objects"), &[0xff, 0xfe]);
    assert_eq!(refused.code(), "bad_prompts");
    // A point outside of the scan is known only there.
    let outside = prompts(json!([{"points": [[100_000, 0, 0]]}]));
    assert_eq!(client.send("POST", &format!("{path}/segment"), &outside).status, 422);
    assert_alive(&client);
}

#[test]
fn what_is_not_http_ends_the_connection_and_nothing_else() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |settings| settings.limits.pause = Duration::from_secs(1));
    let client = server.client();
    let head = |extra: &str| {
        format!("GET /health/live HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{extra}\r\n", server.address)
    };
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        vec![0; 10_000],
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(200_000)).into_bytes(),
        head(&format!("x: {}\r\n", "y".repeat(1 << 20))).into_bytes(),
        head(&"x: y\r\n".repeat(10_000)).into_bytes(),
        head("content-length: 5\r\ncontent-length: 6\r\n").into_bytes(),
        head("content-length: 5\r\ntransfer-encoding: chunked\r\n").into_bytes(),
        head("content-length: -1\r\n").into_bytes(),
    ] {
        let mut stream = TcpStream::connect(server.address).expect("a server");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let _ = stream.write_all(&bytes);
        let mut answered = Vec::new();
        let _ = stream.read_to_end(&mut answered);
        let text = String::from_utf8_lossy(&answered);
        assert!(text.is_empty() || text.starts_with("HTTP/1.") && !text.contains("panicked"), "{text}");
        assert_alive(&client);
    }
    // One byte at a time is slow, and right.
    let mut stream = TcpStream::connect(server.address).expect("a server");
    for byte in head("").bytes() {
        stream.write_all(&[byte]).expect("a server");
    }
    assert_eq!(answer(stream).status, 200);
}
