//! The server: from an upload to a mask, sessions that do not mix, limits, operations.

use std::io::Read as _;
use std::time::{Duration, Instant};

use segvol::volume::Affine;
use segvol::volume::Format;
use segvol::{Mask, StudyOptions, Volume};
use segvol_tests::golden::data;
use segvol_tests::http::{Client, events};
use segvol_tests::server::{Running, figure, prompts, session, session_with, start, wait_until};
use serde_json::{Value, json};

const SCAN: &str = "tiny/volumes/lps_int16.nii.gz";

fn scan() -> Vec<u8> {
    std::fs::read(data(SCAN)).expect("a scan")
}

fn objects() -> Value {
    json!([
        {"text": "liver"},
        {"name": "lesion", "text": "liver tumor", "points": [[36, 30, 13, 1], [50, 40, 8, 0]]},
        {"name": "box", "box": [30, 20, 8, 40, 35, 16]},
    ])
}

/// The label map of these objects, without a server.
fn expected(server: &Running, scan: &[u8], objects: &Value) -> Mask {
    let prompts = segvol::parse_prompts(&String::from_utf8(prompts(objects.clone())).expect("text")).expect("prompts");
    let study = server.model.study_with(Volume::read(scan).expect("a scan"), &StudyOptions::default()).expect("fits");
    study.label_map(&study.segment_all(&prompts).expect("masks")).expect("memory")
}

fn bytes(mask: &Mask, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    mask.write(&mut bytes, format).expect("memory");
    bytes
}

/// What a client that follows the changes has.
struct Followed {
    shape: [usize; 3],
    labels: Vec<u8>,
    revision: Option<u64>,
}

impl Followed {
    fn new(shape: [usize; 3]) -> Self {
        Self { shape, labels: vec![0; shape.iter().product()], revision: None }
    }

    /// Takes the changes. The stage, and how many labels were sent.
    fn follow(&mut self, client: &Client, path: &str) -> (String, usize) {
        let since = self.revision.map_or_else(String::new, |revision| format!("?since={revision}"));
        let answer = client.send("GET", &format!("{path}/mask/region{since}"), b"");
        assert!([200, 204].contains(&answer.status), "{answer:?}");
        let header = |name: &str| answer.headers[name].clone();
        self.revision = Some(header("x-segvol-revision").parse().expect("a number"));
        if header("x-segvol-whole") == "true" {
            self.labels.fill(0);
        }
        if answer.status == 200 {
            assert_eq!(header("x-segvol-dtype"), "uint8");
            let corners: Vec<usize> =
                header("x-segvol-box").split(',').map(|number| number.parse().expect("a number")).collect();
            let mut sent = answer.body.iter();
            for k in corners[2]..=corners[5] {
                for j in corners[1]..=corners[4] {
                    for i in corners[0]..=corners[3] {
                        self.labels[i + self.shape[0] * (j + self.shape[1] * k)] = *sent.next().expect("a label");
                    }
                }
            }
            assert!(sent.next().is_none(), "no more labels than the box has");
        }
        (header("x-segvol-stage"), answer.body.len())
    }
}

#[test]
fn from_an_upload_to_the_masks_of_the_library() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let path = session_with(&client, &scan());
    let state = client.send("GET", &path, b"").json();
    let volume = Volume::read(&scan()[..]).expect("a scan");
    assert_eq!(state["scan"]["shape_xyz"], json!(volume.shape_xyz()));
    assert_eq!(state["scan"]["affine_ras"], json!(volume.grid().affine().rows()));
    assert_eq!((&state["result"], &state["undo"], &state["busy"]), (&Value::Null, &json!(0), &json!(false)));
    assert_eq!(client.send("GET", &format!("{path}/mask"), b"").code(), "no_result");

    let done = client.send("POST", &format!("{path}/segment"), &prompts(objects()));
    assert_eq!(done.status, 200, "{}", done.text());
    let found = done.json()["result"].clone();
    assert_eq!((&found["stage"], &found["objects"][1]["name"]), (&json!("final"), &json!("lesion")));
    let mask = expected(&server, &scan(), &objects());
    assert_eq!(mask.shape_xyz(), volume.shape_xyz());
    assert!(mask.count(1) + mask.count(2) + mask.count(3) > 0, "the test has a mask");
    for (name, format) in
        [("nii.gz", Format::NiftiGzip), ("nii", Format::Nifti), ("nrrd", Format::Nrrd), ("mha", Format::MetaImage)]
    {
        let file = client.send("GET", &format!("{path}/mask?format={name}"), b"");
        assert_eq!(file.body, bytes(&mask, format), "{name}");
        assert!(file.headers["content-disposition"].starts_with("attachment; filename=\"mask."), "{name}");
    }
    let mut followed = Followed::new(mask.shape_xyz());
    assert_eq!(followed.follow(&client, &path).0, "final");
    let labels: Vec<u16> = followed.labels.iter().map(|&label| label.into()).collect();
    assert_eq!(labels, (0..labels.len()).map(|n| mask.labels().get(n).expect("a voxel")).collect::<Vec<_>>());
    assert_eq!(followed.follow(&client, &path).1, 0, "nothing has changed");

    // One object's own mask, and what is refused.
    let own = client.send("GET", &format!("{path}/mask?object=3&format=nii"), b"");
    let own = Volume::read(&own.body[..]).expect("a mask");
    let voxels = own.voxels().iter().filter(|&&voxel| voxel == 1.0).count();
    assert_eq!(json!(voxels), found["objects"][2]["voxels"]);
    assert_eq!(client.send("GET", &format!("{path}/mask?object=4"), b"").status, 404);
    assert_eq!(client.send("GET", &format!("{path}/mask?format=dcm"), b"").status, 422);
    assert_eq!(client.send("GET", &format!("{path}/mask?format=png"), b"").status, 400);
    assert_eq!(client.send("GET", &format!("{path}/mask?fromat=nii"), b"").status, 400);
    let report = client.send("GET", &format!("{path}/report"), b"").json();
    assert_eq!(report["objects"][1]["voxels"]["zoom_in"], found["objects"][1]["voxels"]);
    let same = client.send("GET", &format!("{path}/scan"), b"");
    assert_eq!(Volume::read(&same.body[..]).expect("a scan").voxels(), volume.voxels());

    assert_eq!(client.send("DELETE", &path, b"").status, 204);
    let gone = client.send("GET", &path, b"");
    assert_eq!((gone.status, gone.code().as_str()), (410, "session_gone"));
}

#[test]
fn a_coarse_mask_comes_first_and_each_step_can_be_undone() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let path = session_with(&client, &scan());
    let streaming = client.with("accept", "text/event-stream");
    let first = json!([{"text": "liver"}]);
    let events = events(&streaming.send("POST", &format!("{path}/segment"), &prompts(first.clone())).body);
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names[0], names[1], names[names.len() - 1]), ("queued", "coarse", "done"));
    assert!(names[2..names.len() - 1].iter().all(|&name| name == "progress"), "{names:?}");
    let (coarse, done) = (&events[1].1["result"], &events[names.len() - 1].1["state"]);
    assert_eq!((&coarse["stage"], &done["result"]["stage"]), (&json!("coarse"), &json!("final")));
    assert!(coarse["revision"].as_u64() < done["result"]["revision"].as_u64());

    // The changes lead to the same label maps as whole ones, forward and back.
    let shape = Volume::read(&scan()[..]).expect("a scan").shape_xyz();
    let mut followed = Followed::new(shape);
    let mut maps = Vec::new();
    let steps = [first, json!([{"text": "liver"}, {"name": "box", "box": [30, 20, 8, 40, 35, 16]}]), objects()];
    for objects in &steps {
        let done = client.send("POST", &format!("{path}/segment"), &prompts(objects.clone()));
        assert_eq!(done.status, 200, "{}", done.text());
        followed.follow(&client, &path);
        let mut whole = Followed::new(shape);
        whole.follow(&client, &path);
        assert_eq!(followed.labels, whole.labels);
        maps.push(whole.labels);
    }
    assert!(maps[0] != maps[1] && maps[1] != maps[2], "the steps differ");
    for step in [1, 0] {
        let state = client.send("POST", &format!("{path}/undo"), b"").json();
        assert_eq!(state["prompts"]["objects"], steps[step]);
        assert_eq!(state["result"]["stage"], "final");
        followed.follow(&client, &path);
        assert_eq!(followed.labels, maps[step], "step {step}");
    }
    // The first segmentation of all had the same objects as the first step here: no step of its own.
    let state = client.send("POST", &format!("{path}/undo"), b"").json();
    assert_eq!((&state["prompts"]["objects"], &state["undo"], &state["redo"]), (&json!([]), &json!(0), &json!(3)));
    followed.follow(&client, &path);
    assert!(followed.labels.iter().all(|&label| label == 0));
    assert_eq!(client.send("POST", &format!("{path}/undo"), b"").code(), "nothing_to_undo");
    for map in &maps {
        assert_eq!(client.send("POST", &format!("{path}/redo"), b"").status, 200);
        followed.follow(&client, &path);
        assert_eq!(followed.labels, *map);
    }
    assert_eq!(client.send("POST", &format!("{path}/redo"), b"").code(), "nothing_to_redo");
    // Nothing to segment any more.
    let state = client.send("PUT", &format!("{path}/objects"), &prompts(json!([]))).json();
    assert_eq!((&state["result"], &state["undo"]), (&Value::Null, &json!(4)));
    assert_eq!(client.send("POST", &format!("{path}/segment"), b"").code(), "no_objects");
}

/// How many windows the server has encoded.
fn encoded(client: &Client) -> u64 {
    figure(client, "segvol_windows_total{from=\"encoder\"}").unwrap_or(0)
}

#[test]
fn the_zoom_out_window_is_encoded_before_the_first_call() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let path = session_with(&client, &scan());
    wait_until(Duration::from_secs(60), "nothing is encoded", || encoded(&client) > 0);
    assert_eq!(encoded(&client), 1);
    let streaming = client.with("accept", "text/event-stream");
    let events = events(&streaming.send("POST", &format!("{path}/segment"), &prompts(objects())).body);
    let (coarse, done) = (&events[1].1["result"], &events[events.len() - 1].1["state"]["result"]);
    assert_eq!((&events[1].0[..], &coarse["windows_encoded"]), ("coarse", &json!(0)));
    assert_eq!(json!(encoded(&client) - 1), done["windows_encoded"]);
    let mask = client.send("GET", &format!("{path}/mask?format=nii"), b"");
    assert_eq!(mask.body, bytes(&expected(&server, &scan(), &objects()), Format::Nifti));
}

#[test]
fn nothing_is_encoded_that_is_not_kept() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |settings| settings.study.cache_bytes = 0);
    let client = server.client();
    let path = session_with(&client, &scan());
    let done = client.send("POST", &format!("{path}/segment"), &prompts(objects())).json();
    assert_eq!(done["result"]["windows_encoded"], json!(encoded(&client)));
}

#[test]
fn sessions_at_the_same_time_have_the_masks_that_each_has_alone() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let scans = [SCAN, "tiny/volumes/ras_scaled_odd.nii.gz"];
    let scans: Vec<Vec<u8>> = scans.iter().map(|name| std::fs::read(data(name)).expect("a scan")).collect();
    let asked: Vec<Value> = objects().as_array().expect("a list").iter().map(|one| json!([one])).collect();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (server, scan, asked) = (&server, &scans[n % scans.len()], &asked[n % asked.len()]);
            scope.spawn(move || {
                let client = server.client();
                let path = session_with(&client, scan);
                for _ in 0..3 {
                    let done = client.send("POST", &format!("{path}/segment"), &prompts(asked.clone()));
                    assert_eq!(done.status, 200, "{}", done.text());
                    let file = client.send("GET", &format!("{path}/mask?format=nii"), b"");
                    assert!(file.body == bytes(&expected(server, scan, asked), Format::Nifti), "session {n}");
                }
            });
        }
    });
}

/// A scan in which a call takes many windows.
fn large_scan() -> Vec<u8> {
    const SHAPE: [usize; 3] = [160, 160, 80];
    let voxel = |n: usize| {
        let at = [n % SHAPE[0], n / SHAPE[0] % SHAPE[1], n / SHAPE[0] / SHAPE[1]];
        let centred: f64 = at.iter().zip(SHAPE).map(|(&i, n)| (2.0 * i as f64 / n as f64 - 1.0).powi(2)).sum();
        if centred < 1.0 { (n * 7919 % 211) as f32 } else { -1000.0 }
    };
    let voxels = (0..SHAPE.iter().product()).map(voxel).collect();
    let rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    let mut bytes = Vec::new();
    let volume = Volume::new(SHAPE, voxels, Affine::new(rows)).expect("a volume");
    volume.write(&mut bytes, Format::Nifti).expect("memory");
    bytes
}

/// Reads events until one has this name.
fn wait_for(stream: &mut std::net::TcpStream, name: &str) {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !String::from_utf8_lossy(&seen).contains(&format!("event: {name}")) {
        assert_eq!(stream.read(&mut byte).expect("an event"), 1, "{}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
}

#[test]
fn a_call_ends_when_it_is_cancelled_superseded_or_its_client_has_gone() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let path = session_with(&client, &large_scan());
    let streaming = client.with("accept", "text/event-stream");
    let body = prompts(json!([{"text": "liver"}]));
    let begin = || {
        use std::io::Write as _;
        // Other objects each time, so that there are windows to encode.
        let mut stream = streaming.begin("POST", &format!("{path}/segment"), body.len() as u64);
        stream.write_all(&body).expect("a server");
        wait_for(&mut stream, "coarse");
        stream
    };
    let stream = begin();
    assert_eq!(client.send("GET", &path, b"").json()["busy"], true);
    assert_eq!(client.send("POST", &format!("{path}/cancel"), b"").status, 202);
    let mut rest = String::new();
    std::io::BufReader::new(&stream).read_to_string(&mut rest).expect("the end");
    assert!(rest.contains("\"code\":\"cancelled\""), "{rest}");
    let state = client.send("GET", &path, b"").json();
    assert_eq!((&state["busy"], &state["result"]["stage"]), (&json!(false), &json!("coarse")));
    assert_eq!(client.send("GET", &format!("{path}/mask"), b"").code(), "no_result", "a coarse mask is no result");

    let stream = begin();
    let done = client.send("PUT", &format!("{path}/objects"), &prompts(json!([{"text": "spleen"}])));
    assert_eq!(done.status, 200, "{}", done.text());
    rest.clear();
    std::io::BufReader::new(&stream).read_to_string(&mut rest).expect("the end");
    assert!(rest.contains("\"code\":\"superseded\""), "{rest}");

    drop(begin());
    let is_busy = || client.send("GET", &path, b"").json()["busy"] == true;
    wait_until(Duration::from_secs(30), "a call without a client goes on", || !is_busy());

    let stream = begin();
    assert_eq!(client.send("DELETE", &path, b"").status, 204);
    rest.clear();
    std::io::BufReader::new(&stream).read_to_string(&mut rest).expect("the end");
    assert!(rest.contains("\"code\":\"session_gone\""), "{rest}");
}

#[test]
fn a_short_call_does_not_wait_for_the_end_of_a_long_one() {
    use std::io::Write as _;
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let (long, short) = (session_with(&client, &large_scan()), session_with(&client, &scan()));
    let streaming = client.with("accept", "text/event-stream");
    let body = prompts(json!([{"text": "liver"}]));
    let mut stream = streaming.begin("POST", &format!("{long}/segment"), body.len() as u64);
    stream.write_all(&body).expect("a server");
    wait_for(&mut stream, "coarse");
    let done = client.send("POST", &format!("{short}/segment"), &body);
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(client.send("GET", &long, b"").json()["busy"], true, "the long call is still at work");
    drop(stream);
}

#[test]
fn sessions_bytes_and_time_have_limits() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |settings| {
        settings.limits.sessions = 2;
        settings.limits.upload_bytes = 4096;
        settings.limits.objects = 2;
        settings.limits.liveness = Duration::from_secs(2);
        settings.limits.idle = Duration::from_secs(4);
    });
    let client = server.client();
    let (silent, alive) = (session(&client), session(&client));
    let full = client.send("POST", "/v1/sessions", b"");
    assert_eq!((full.status, full.code().as_str()), (503, "sessions_full"));
    assert!(full.headers.contains_key("retry-after"));
    let large = client.send("PUT", &format!("{alive}/scan"), &vec![0; 5000]);
    assert_eq!((large.status, large.code().as_str()), (413, "too_large"));
    let many = prompts(json!([{"text": "a"}, {"text": "b"}, {"text": "c"}]));
    assert_eq!(client.send("PUT", &format!("{alive}/objects"), &many).code(), "bad_prompts");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert_eq!(client.send("POST", &format!("{alive}/heartbeat"), b"").status, 204);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(client.send("GET", &silent, b"").status, 410, "nothing has come for two seconds");
    while began.elapsed() < Duration::from_secs(6) {
        let _ = client.send("POST", &format!("{alive}/heartbeat"), b"");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(client.send("GET", &alive, b"").status, 410, "only heartbeats have come for four seconds");
    let _ = session(&client);
}

#[test]
fn memory_has_a_limit_and_comes_back() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |settings| settings.limits.memory_bytes = Some(90 << 20));
    let client = server.client();
    // Each session has 64 MiB of embeddings, and its scan.
    let first = session_with(&client, &scan());
    let second = session(&client);
    let full = client.send("PUT", &format!("{second}/scan"), &scan());
    assert_eq!((full.status, full.code().as_str()), (503, "memory_full"));
    assert_eq!(client.send("DELETE", &first, b"").status, 204);
    let fits = || client.send("PUT", &format!("{second}/scan"), &scan()).status == 200;
    wait_until(Duration::from_secs(10), "the memory of a session comes back", fits);
    // A scan that would never fit is not worth another try.
    let large = client.send("PUT", &format!("{second}/scan"), &large_scan());
    assert_eq!((large.status, large.code().as_str()), (413, "too_much_memory"));
}

#[test]
fn operators_see_health_and_figures_and_a_stop_is_orderly() {
    let folder = segvol_tests::folder!();
    let mut server = start(folder.path(), |_| {});
    let client = server.client();
    assert_eq!(client.send("GET", "/health/live", b"").status, 200);
    let is_ready = || client.send("GET", "/health/ready", b"").status == 200;
    wait_until(Duration::from_secs(60), "the model is never ready", is_ready);
    let path = session_with(&client, &scan());
    let _ = client.send("POST", &format!("{path}/segment"), &prompts(json!([{"text": "liver"}])));
    let figures = client.send("GET", "/metrics", b"").text();
    for line in [
        "segvol_sessions 1",
        "segvol_waiting 0",
        "segvol_calls_total{end=\"done\"} 1",
        "segvol_requests_total{route=\"/v1/sessions/{id}/segment\",status=\"200\"} 1",
    ] {
        assert!(figures.lines().any(|one| one == line), "{line} in {figures}");
    }
    assert!(figures.contains("segvol_step_seconds_total{step=\"encode_image\"}"), "{figures}");
    assert!(figures.ends_with("# EOF\n"));
    assert!(!figures.contains(path.rsplit('/').next().expect("an id")), "no figure names a session");
    server.stop();
    assert!(std::net::TcpStream::connect(server.address).is_err(), "nobody listens any more");
}

#[test]
fn the_server_says_what_it_is() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let state = client.send("GET", "/v1/server", b"").json();
    assert_eq!((&state["name"], &state["protocol"]), (&json!("segvol"), &json!(1)));
    assert_eq!(state["notice"], "research software, not a medical device");
    assert_eq!(state["bundle"]["manifest_sha256"], server.model.manifest_sha256());
    let document = client.send("GET", "/v1/openapi.json", b"").json();
    assert_eq!(document, serde_json::from_str::<Value>(&segvol_server::openapi().expect("JSON")).expect("JSON"));
    assert_eq!(document["openapi"], "3.1.0");
    let names = client.send("GET", "/v1/names", b"").json();
    assert_eq!(
        names["names"].as_array().map(Vec::len),
        Some(server.model.names().map_or(0, |names| names.list().len()))
    );
    for path in ["/v1/sessions", "/v1/server", "/v1/names"] {
        let wrong = client.send("PATCH", path, b"");
        assert_eq!((wrong.status, wrong.code().as_str()), (405, "wrong_method"), "{path}");
    }
    assert_eq!(client.send("GET", "/v1/nothing", b"").code(), "no_such_path");
}
