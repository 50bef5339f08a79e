//! The Open Inference Protocol: masks of the library from tensors in JSON and in bytes, and what is refused.

use std::io::Write as _;
use std::time::Duration;

use segvol::mask::Labels;
use segvol::volume::Affine;
use segvol::{StudyOptions, Volume};
use segvol_server::{Settings, Token};
use segvol_tests::golden::data;
use segvol_tests::http::{Answer, Client};
use segvol_tests::server::{Running, figure, prompts, start, wait_until};
use serde_json::{Value, json};

const INFER: &str = "/v2/models/segvol/infer";

fn scan() -> Volume {
    let file = std::fs::read(data("tiny/volumes/lps_int16.nii.gz")).expect("a scan");
    Volume::read(&file[..]).expect("a scan")
}

fn objects() -> String {
    let objects = json!([{"text": "liver"}, {"name": "box", "box": [30, 20, 8, 40, 35, 16]}]);
    String::from_utf8(prompts(objects)).expect("text")
}

/// The label map and the report without a server.
fn expected(server: &Running, volume: Volume, objects: &str) -> (Vec<u16>, Value) {
    let prompts = segvol::parse_prompts(objects).expect("prompts");
    let study = server.model.study_with(volume, &StudyOptions::default()).expect("fits");
    let found = study.segment_all(&prompts).expect("masks");
    let map = study.label_map(&found).expect("memory");
    let report = segvol::Report::new(&server.model, &study, &prompts, &found);
    let mut report = serde_json::to_value(&report).expect("JSON");
    // A server does not say where its bundle lies.
    report["bundle"]["path"] = json!("bundle");
    (wide(map.labels()), report)
}

fn wide(labels: &Labels) -> Vec<u16> {
    (0..labels.len()).map(|n| labels.get(n).expect("a voxel")).collect()
}

/// A request whose tensors are bytes, and its bytes.
struct Request {
    json: Value,
    binary: Vec<u8>,
}

impl Request {
    /// All tensors as bytes.
    fn binary(volume: &Volume, objects: &str) -> Self {
        let mut binary = Vec::new();
        binary.extend(volume.voxels().iter().flat_map(|voxel| voxel.to_le_bytes()));
        let image = binary.len();
        binary.extend(volume.grid().affine().rows().as_flattened().iter().flat_map(|number| number.to_le_bytes()));
        let affine = binary.len() - image;
        binary.extend((objects.len() as u32).to_le_bytes());
        binary.extend_from_slice(objects.as_bytes());
        let prompts = binary.len() - image - affine;
        let json = json!({ "inputs": [
            {"name": "image", "datatype": "FP32", "shape": shape(volume), "parameters": {"binary_data_size": image}},
            {"name": "affine", "datatype": "FP64", "shape": [3, 4], "parameters": {"binary_data_size": affine}},
            {"name": "prompts", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": prompts}},
        ]});
        Self { json, binary }
    }

    /// All tensors in JSON.
    fn json(volume: &Volume, objects: &str) -> Self {
        let image: Vec<i16> = volume.voxels().iter().map(|&voxel| voxel as i16).collect();
        let [x, y, z] = volume.grid().affine().rows();
        let json = json!({ "inputs": [
            {"name": "image", "datatype": "INT16", "shape": shape(volume), "data": image},
            {"name": "affine", "datatype": "FP64", "shape": [4, 4], "data": [x, y, z, [0, 0, 0, 1]]},
            {"name": "prompts", "datatype": "BYTES", "shape": [1], "data": [objects]},
        ]});
        Self { json, binary: Vec::new() }
    }

    fn send(&self, client: &Client) -> Answer {
        let mut body = self.json.to_string().into_bytes();
        let json = body.len().to_string();
        body.extend_from_slice(&self.binary);
        let client = client.with("inference-header-content-length", &json);
        client.send("POST", INFER, &body)
    }
}

fn shape(volume: &Volume) -> Value {
    let [i, j, k] = volume.shape_xyz();
    json!([k, j, i])
}

/// The JSON of an answer, and the bytes behind it.
fn parts(answer: &Answer) -> (Value, &[u8]) {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let json = answer.headers.get("inference-header-content-length");
    let json = json.map_or(answer.body.len(), |text| text.parse().expect("a number"));
    let (json, binary) = answer.body.split_at(json);
    (serde_json::from_slice(json).expect("JSON"), binary)
}

fn error(answer: &Answer) -> String {
    let json = answer.json();
    assert_eq!(json.as_object().map(|fields| fields.len()), Some(1), "{json}");
    json["error"].as_str().unwrap_or_else(|| panic!("no text in {json}")).to_owned()
}

/// Reports of two calls, without what differs between them.
fn same(mut report: Value) -> Value {
    let fields = report.as_object_mut().expect("an object");
    for differing in ["times_ms", "scan"] {
        fields.remove(differing);
    }
    report
}

#[test]
fn tensors_in_bytes_and_in_json_give_the_masks_of_the_library() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let volume = scan();
    let (labels, report) = expected(&server, scan(), &objects());
    assert!(labels.contains(&1) && labels.contains(&2), "the test has two masks");
    assert!(volume.voxels().iter().all(|&voxel| f32::from(voxel as i16) == voxel), "INT16 has these voxels");

    // Bytes in, JSON out.
    let (json, binary) = parts_owned(&Request::binary(&volume, &objects()).send(&client));
    assert!(binary.is_empty());
    assert_eq!((&json["model_name"], &json["model_version"]), (&json!("segvol"), &json!("1")));
    assert_eq!(json.get("id"), None);
    let outputs = json["outputs"].as_array().expect("a list");
    assert_eq!(outputs.len(), 2);
    assert_eq!((&outputs[0]["name"], &outputs[0]["datatype"]), (&json!("labels"), &json!("UINT8")));
    assert_eq!((&outputs[0]["shape"], &outputs[0]["data"]), (&shape(&volume), &json!(labels)));
    assert_eq!((&outputs[1]["name"], &outputs[1]["datatype"]), (&json!("report"), &json!("BYTES")));
    assert_eq!(outputs[1]["shape"], json!([1]));
    let text = outputs[1]["data"][0].as_str().expect("a text");
    assert_eq!(same(serde_json::from_str(text).expect("JSON")), same(report.clone()));

    // JSON in, bytes out, with a name of the request and `null` where nothing is wanted.
    let mut request = Request::json(&volume, &objects());
    request.json["id"] = json!("number 7");
    request.json["model_name"] = json!("segvol");
    request.json["parameters"] = json!({"binary_data_output": true});
    request.json["outputs"] = Value::Null;
    let answer = request.send(&client);
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let (json, binary) = parts(&answer);
    assert_eq!(json["id"], "number 7");
    assert_eq!(json["outputs"][0].get("data"), None);
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], labels.len());
    assert_eq!(json["outputs"][1]["parameters"]["binary_data_size"], binary.len() - labels.len());
    let (found, text) = binary.split_at(labels.len());
    assert_eq!(found.iter().map(|&label| label.into()).collect::<Vec<u16>>(), labels);
    let (length, text) = text.split_at(4);
    assert_eq!(u32::from_le_bytes(length.try_into().expect("four bytes")) as usize, text.len());
    assert_eq!(same(serde_json::from_slice(text).expect("JSON")), same(report));

    // Without the header, the body is JSON; nested lists are as good as flat ones; outputs are those that are asked for.
    let mut request = Request::json(&volume, &objects());
    let [i, j, _] = volume.shape_xyz();
    let flat: Vec<f32> = volume.voxels().to_vec();
    let slices: Vec<Vec<&[f32]>> = flat.chunks(i * j).map(|slice| slice.chunks(i).collect()).collect();
    request.json["inputs"][0]["datatype"] = json!("FP32");
    request.json["inputs"][0]["data"] = json!(slices);
    request.json["parameters"] = json!({"binary_data_output": true});
    request.json["outputs"] = json!([{"name": "labels", "parameters": {"binary_data": false}}]);
    let path = "/v2/models/segvol/versions/1/infer";
    let (json, binary) = parts_owned(&client.send("POST", path, request.json.to_string().as_bytes()));
    assert!(binary.is_empty());
    assert_eq!(json["outputs"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["outputs"][0]["data"], json!(labels));

    // Both ways at once, in the order of the request.
    let mut request = Request::binary(&volume, &objects());
    request.json["outputs"] = json!([{"name": "report"}, {"name": "labels", "parameters": {"binary_data": true}}]);
    let answer = request.send(&client);
    let (json, binary) = parts(&answer);
    assert_eq!(json["outputs"][0]["name"], "report");
    assert!(json["outputs"][0]["data"][0].is_string());
    assert_eq!(binary.len(), labels.len());

    let figures = client.send("GET", "/metrics", b"").text();
    for line in [
        "segvol_calls_total{end=\"done\"} 4",
        "segvol_requests_total{route=\"/v2/models/{model}/infer\",status=\"200\"} 3",
        "segvol_requests_total{route=\"/v2/models/{model}/versions/{version}/infer\",status=\"200\"} 1",
        "segvol_sessions 0",
        "segvol_reserved_memory_bytes 0",
    ] {
        assert!(figures.lines().any(|one| one == line), "{line} in {figures}");
    }
    assert!(figures.contains("segvol_windows_total{from=\"encoder\"}"), "{figures}");
}

fn parts_owned(answer: &Answer) -> (Value, Vec<u8>) {
    let (json, binary) = parts(answer);
    (json, binary.to_vec())
}

#[test]
fn more_than_255_objects_have_labels_of_two_bytes() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |settings| settings.limits.objects = 300);
    let volume = scan();
    let objects: Vec<Value> =
        (0..256).map(|n| json!({"name": n.to_string(), "box": [30, 20, 8, 40, 35, 16]})).collect();
    let objects = String::from_utf8(prompts(json!(objects))).expect("text");
    let (labels, _) = expected(&server, scan(), &objects);
    let mut request = Request::binary(&volume, &objects);
    request.json["outputs"] = json!([{"name": "labels", "parameters": {"binary_data": true}}]);
    let answer = request.send(&server.client());
    let (json, binary) = parts(&answer);
    assert_eq!(json["outputs"][0]["datatype"], "UINT16");
    let found: Vec<u16> = binary.as_chunks().0.iter().map(|&two| u16::from_le_bytes(two)).collect();
    assert!(found == labels && labels.iter().any(|&label| label > 0));
}

#[test]
fn the_server_and_its_model_describe_themselves() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    assert_eq!(client.send("GET", "/v2/health/live", b"").json(), json!({"live": true}));
    let is_ready = || client.send("GET", "/v2/health/ready", b"").status == 200;
    wait_until(Duration::from_secs(60), "the model is never ready", is_ready);
    assert_eq!(client.send("GET", "/v2/health/ready", b"").json(), json!({"ready": true}));
    let state = client.send("GET", "/v2", b"").json();
    assert_eq!((&state["name"], &state["extensions"]), (&json!("segvol"), &json!(["binary_tensor_data"])));
    assert_eq!(client.send("GET", "/v2/", b"").json(), state);
    let metadata = json!({
        "name": "segvol",
        "versions": ["1"],
        "platform": "segvol_bundle",
        "inputs": [
            {"name": "image", "datatype": "FP32", "shape": [-1, -1, -1]},
            {"name": "affine", "datatype": "FP64", "shape": [-1, 4]},
            {"name": "prompts", "datatype": "BYTES", "shape": [1]},
        ],
        "outputs": [
            {"name": "labels", "datatype": "UINT8", "shape": [-1, -1, -1]},
            {"name": "report", "datatype": "BYTES", "shape": [1]},
        ],
    });
    for path in ["/v2/models/segvol", "/v2/models/segvol/versions/1"] {
        assert_eq!(client.send("GET", path, b"").json(), metadata);
        assert_eq!(client.send("GET", &format!("{path}/ready"), b"").json(), json!({"name": "segvol", "ready": true}));
    }
    for path in
        ["/v2/models/other", "/v2/models/segvol/versions/2", "/v2/models/other/ready", "/v2/models/%ff", "/v2/no"]
    {
        let missing = client.send("GET", path, b"");
        assert_eq!(missing.status, 404, "{path}");
        assert!(error(&missing).starts_with("there is no"), "{path}: {}", error(&missing));
    }
    for path in ["/v2/models/other/infer", "/v2/models/segvol/versions/2/infer"] {
        assert_eq!(client.send("POST", path, b"{}").status, 404, "{path}");
    }
    let wrong = client.send("GET", INFER, b"");
    assert!(wrong.status == 405 && error(&wrong).contains("method"));
    assert!(wrong.headers["allow"].contains("POST"));
    // Errors of the server's own interface keep their form.
    assert_eq!(client.send("GET", "/v1/no", b"").code(), "no_such_path");
}

#[test]
fn a_token_is_needed_for_all_but_health() {
    let folder = segvol_tests::folder!();
    let path = folder.path().join("token");
    std::fs::write(&path, "0123456789abcdef").expect("written");
    let token = Token::read(&path).expect("a token");
    // The bundle takes the place of the folder's contents.
    let server = start(folder.path(), |settings: &mut Settings| settings.token = Some(token));
    let client = server.client();
    assert_eq!(client.send("GET", "/v2/health/live", b"").status, 200);
    let with_token = client.with("authorization", "Bearer 0123456789abcdef");
    for (method, path) in
        [("GET", "/v2"), ("GET", "/v2/models/segvol"), ("GET", "/v2/models/segvol/ready"), ("POST", INFER)]
    {
        let refused = client.send(method, path, b"{}");
        assert_eq!(refused.status, 401, "{path}");
        assert!(error(&refused).contains("Authorization") && refused.headers.contains_key("www-authenticate"));
        assert_ne!(with_token.send(method, path, b"{}").status, 401, "{path}");
    }
    let page = with_token.with("origin", "https://evil.example").send("GET", "/v2", b"");
    assert!(page.status == 403 && error(&page).contains("another site"));
}

/// What is changed in a request.
type Change = fn(&mut Request);

#[test]
fn a_request_that_is_wrong_says_why() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    let volume = Volume::new([3, 2, 2], (0..12).map(|n| n as f32).collect(), Affine::new(rows)).expect("a volume");
    let (text, mut wrong) = (objects(), Vec::new());
    // Of tensors that are bytes.
    let changes: &[(Change, u16, &str)] = &[
        (|one| one.json = json!([]), 400, "request: invalid"),
        (|one| one.json["input"] = json!([]), 400, "unknown field `input`"),
        (|one| one.json["parameters"] = json!({"priority": 1}), 400, "unknown field `priority`"),
        (|one| one.json["parameters"] = json!({"binary_data_output": 1}), 400, "expected a boolean"),
        (|one| one.json["model_name"] = json!("other"), 400, "model_name: expected `segvol`"),
        (|one| one.json["id"] = json!("x".repeat(2000)), 400, "id: expected at most"),
        (|one| one.json["inputs"] = json!([]), 400, "`image` is missing"),
        (|one| one.json["inputs"][0]["name"] = json!("affine"), 400, "`affine` is there twice"),
        (
            |one| one.json["inputs"][0]["name"] = json!("mask"),
            400,
            "expected `image`, `affine` and `prompts`, found `mask`",
        ),
        (|one| one.json["inputs"][0]["data"] = json!([1]), 400, "image: expected `data` or the parameter"),
        (|one| one.json["inputs"][0]["parameters"] = Value::Null, 400, "found neither"),
        (|one| one.json["inputs"][0]["parameters"]["more"] = json!(1), 400, "unknown field `more`"),
        (|one| one.json["inputs"][0]["parameters"]["binary_data_size"] = json!(-1), 400, "invalid value"),
        (|one| one.json["inputs"][0]["parameters"]["binary_data_size"] = json!(u64::MAX), 400, "bytes follow the JSON"),
        (|one| one.json["inputs"][1]["parameters"]["binary_data_size"] = json!(u64::MAX), 400, "bytes follow the JSON"),
        (|one| one.json["inputs"][0]["parameters"]["binary_data_size"] = json!(44), 400, "the inputs have"),
        (|one| one.binary.push(0), 400, "the inputs have"),
        (|one| one.binary.truncate(20), 400, "20 bytes follow the JSON"),
        (|one| one.json["inputs"][0]["shape"] = json!([2, 2, 2]), 400, "needs 32 bytes, and `binary_data_size` is 48"),
        (|one| one.json["inputs"][0]["shape"] = json!([1 << 30, 1 << 30, 1 << 30]), 400, "more elements than can be"),
        (|one| one.json["inputs"][0]["shape"] = json!([1 << 30, 1 << 30, 4]), 400, "more elements than can be"),
        (|one| one.json["inputs"][0]["shape"] = json!([1 << 30, 1 << 30, 1]), 400, "`binary_data_size` is 48"),
        (|one| one.json["inputs"][0]["shape"] = json!([12]), 400, "of three lengths"),
        (|one| one.json["inputs"][0]["shape"] = json!([1, 1, 1, 1, 1, 1, 1, 12, 1]), 400, "at most 8 values"),
        (|one| one.json["inputs"][0]["shape"] = json!([-2, -2, 3]), 400, "invalid value"),
        (|one| one.json["inputs"][0]["datatype"] = json!("FP64"), 400, "image: expected the datatype FP32 or INT16"),
        (|one| one.json["inputs"][0]["datatype"] = json!("INT16"), 400, "needs 24 bytes"),
        (|one| one.json["inputs"][1]["datatype"] = json!("FP32"), 400, "affine: expected the datatype FP64"),
        (|one| one.json["inputs"][1]["shape"] = json!([4, 3]), 400, "affine: expected the shape [3, 4] or [4, 4]"),
        (|one| one.json["inputs"][1]["shape"] = json!([4, 4]), 400, "needs 128 bytes"),
        (|one| one.binary[48..48 + 96].fill(0), 422, "three independent axes"),
        (|one| one.binary[48..48 + 96].fill(255), 422, "expected finite numbers"),
        (|one| one.json["inputs"][2]["datatype"] = json!("FP64"), 400, "prompts: expected the datatype BYTES"),
        (|one| one.json["inputs"][2]["shape"] = json!([2]), 400, "prompts: expected the shape [1]"),
        (|one| one.binary[144] += 1, 400, "prompts: the text states a length of"),
        (|one| one.binary[144..148].fill(255), 400, "prompts: the text states a length of 4294967295 bytes"),
        (|one| one.binary[150] = 255, 400, "prompts: expected a text in UTF-8"),
        (|one| one.binary[148] = b'[', 422, "prompts: "),
        (|one| one.json["outputs"] = json!([{"name": "logits"}]), 400, "found `logits`"),
        (|one| one.json["outputs"] = json!([{"name": "labels"}, {"name": "labels"}]), 400, "`labels` is there twice"),
        (
            |one| one.json["outputs"] = json!([{"name": "labels", "parameters": {"classification": 2}}]),
            400,
            "unknown field",
        ),
        (
            |one| one.json["outputs"] = json!([{"name": "labels"}, {"name": "report"}, {"name": "labels"}]),
            400,
            "at most 2",
        ),
        // What the toolkit refuses.
        (|one| one.binary[..4].copy_from_slice(&f32::NAN.to_le_bytes()), 422, "NaN"),
        (|one| one.binary[..4].copy_from_slice(&f32::INFINITY.to_le_bytes()), 422, "inf"),
        (|one| one.binary[..48].fill(0), 422, "contrast"),
        (|one| one.json["inputs"][0]["shape"] = json!([0, 2, 3]), 400, "needs 0 bytes"),
    ];
    for (number, (change, status, part)) in changes.iter().enumerate() {
        let mut request = Request::binary(&volume, &text);
        change(&mut request);
        let answer = request.send(&client);
        let found = error(&answer);
        if answer.status != *status || !found.contains(part) {
            wrong.push(format!("change {number}, {part}: {} {found}", answer.status));
        }
    }
    // Of tensors in JSON.
    let changes: &[(Change, u16, &str)] = &[
        (|one| one.json["inputs"][0]["data"][3] = json!(1.5), 400, "image: expected a whole number from -32768"),
        (|one| one.json["inputs"][0]["data"][3] = json!(32768), 400, "image: expected a whole number from -32768"),
        (|one| one.json["inputs"][0]["data"][3] = Value::Null, 400, "image: "),
        (|one| one.json["inputs"][0]["data"][3] = json!("1"), 400, "image: "),
        (|one| one.json["inputs"][0]["data"] = json!([1, 2, 3]), 400, "more elements than `data`"),
        (|one| one.json["inputs"][0]["data"] = json!(vec![1; 13]), 400, "found more"),
        (|one| one.json["inputs"][0]["data"] = json!(vec![vec![100; 6]; 2]), 400, "image: expected lists as the shape"),
        (|one| one.json["inputs"][0]["data"] = json!({"values": vec![1; 12]}), 400, "image: "),
        (|one| one.json["inputs"][0]["shape"] = json!([0, 2, 3]), 400, "image: "),
        (|one| one.json["inputs"][0]["shape"] = json!([1 << 20, 1 << 20, 1]), 400, "more elements than `data`"),
        (|one| one.json["inputs"][1]["data"][3][0] = json!(1), 400, "affine: expected 0, 0, 0, 1 as the fourth row"),
        (|one| one.json["inputs"][2]["data"] = json!([]), 400, "prompts: expected a list of one text"),
        (|one| one.json["inputs"][2]["data"] = json!(["a", "b"]), 400, "prompts: expected a list of at most 1"),
        (|one| one.json["inputs"][2]["data"] = json!("a"), 400, "prompts: "),
        (|one| one.json["inputs"][2]["data"] = json!(["{}"]), 422, "prompts: "),
        (|one| one.json["inputs"][2]["data"] = json!([" ".repeat(5 << 20)]), 400, "prompts: expected at most 4194304"),
    ];
    for (number, (change, status, part)) in changes.iter().enumerate() {
        let mut request = Request::json(&volume, &text);
        change(&mut request);
        let answer = request.send(&client);
        let found = error(&answer);
        if answer.status != *status || !found.contains(part) {
            wrong.push(format!("change {number}, {part}: {} {found}", answer.status));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Of the body and its headers.
    for (name, value, body, status, part) in [
        ("inference-header-content-length", "3", &b"{}"[..], 400, "the body has 2 bytes"),
        ("inference-header-content-length", "18446744073709551616", b"{}", 400, "expected a number"),
        ("inference-header-content-length", "-1", b"{}", 400, "expected a number"),
        ("inference-header-content-length", "0", b"{}", 400, "request: "),
        ("content-encoding", "gzip", b"{}", 415, "not compressed"),
        ("content-encoding", "deflate", b"{}", 415, "not compressed"),
        ("x-nothing", "1", b"", 400, "request: "),
        ("x-nothing", "1", b"\xff\xfe", 400, "UTF-8"),
        ("x-nothing", "1", b"{\"inputs\": [], \"inputs\": []}", 400, "duplicate field"),
    ] {
        let answer = client.with(name, value).send("POST", INFER, body);
        let found = error(&answer);
        assert!(answer.status == status && found.contains(part), "{name}: {value}: {} {found}", answer.status);
    }
    let deep = format!("{{\"inputs\": {}", "[".repeat(1 << 20));
    assert_eq!(client.send("POST", INFER, deep.as_bytes()).status, 400);
    let long = error(&client.send("POST", INFER, format!("{{\"{}\": 1}}", "x".repeat(1 << 20)).as_bytes()));
    assert!(long.contains("unknown field") && long.len() < 2000, "{}", long.len());
    // All of this has left nothing behind.
    let figures = client.send("GET", "/metrics", b"").text();
    for line in ["segvol_reserved_memory_bytes 0", "segvol_waiting 0"] {
        assert!(figures.lines().any(|one| one == line), "{line} in {figures}");
    }
    assert!(!figures.contains("end=\"failed\""), "{figures}");
}

#[test]
fn bytes_memory_and_objects_have_limits() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |settings| {
        settings.limits.upload_bytes = 4 << 20;
        settings.limits.memory_bytes = Some(4 << 20);
        settings.limits.objects = 1;
    });
    let client = server.client();
    let large = client.send("POST", INFER, &vec![b' '; (4 << 20) + 1]);
    assert!(large.status == 413 && error(&large).contains("4194304 bytes"));
    let text = client.send("POST", INFER, &vec![b' '; 3 << 20]);
    assert!(text.status == 413 && error(&text).contains("MiB"), "{}", error(&text));
    let rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    let volume = |side: usize| {
        let voxels = (0..side.pow(3)).map(|n| (n % 100) as f32).collect();
        Volume::new([side; 3], voxels, Affine::new(rows)).expect("a volume")
    };
    let many = Request::binary(&volume(8), &objects()).send(&client);
    assert!(many.status == 422 && error(&many).contains("at most 1 objects, found 2"));
    let one = String::from_utf8(prompts(json!([{"text": "liver"}]))).expect("text");
    let scan = Request::binary(&volume(64), &one).send(&client);
    assert_eq!(scan.status, 413, "{}", error(&scan));
    // The limit is that of all sessions, of which there is none: no embeddings are kept, so a small scan fits.
    assert_eq!(Request::binary(&volume(32), &one).send(&client).status, 200);
}

/// A scan in which a call takes many windows.
fn large_scan() -> Volume {
    const SHAPE: [usize; 3] = [160, 160, 80];
    let voxel = |n: usize| {
        let at = [n % SHAPE[0], n / SHAPE[0] % SHAPE[1], n / SHAPE[0] / SHAPE[1]];
        let centred: f64 = at.iter().zip(SHAPE).map(|(&i, n)| (2.0 * i as f64 / n as f64 - 1.0).powi(2)).sum();
        if centred < 1.0 { (n * 7919 % 211) as f32 } else { -1000.0 }
    };
    let rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    let voxels = (0..SHAPE.iter().product()).map(voxel).collect();
    Volume::new(SHAPE, voxels, Affine::new(rows)).expect("a volume")
}

/// Begins a request, and waits until its work has begun.
fn begin(client: &Client, request: &Request) -> std::net::TcpStream {
    let mut body = request.json.to_string().into_bytes();
    let json = body.len().to_string();
    body.extend_from_slice(&request.binary);
    let client_of_call = client.with("inference-header-content-length", &json);
    let mut stream = client_of_call.begin("POST", INFER, body.len() as u64);
    stream.write_all(&body).expect("a server");
    wait_until(Duration::from_secs(30), "the call does not begin", || reserved(client) > 0);
    stream
}

/// Memory that calls have reserved.
fn reserved(client: &Client) -> u64 {
    figure(client, "segvol_reserved_memory_bytes").expect("the figure")
}

#[test]
fn a_call_without_its_client_ends_and_a_short_one_need_not_wait_for_a_long_one() {
    let folder = segvol_tests::folder!();
    let server = start(folder.path(), |_| {});
    let client = server.client();
    let text = String::from_utf8(prompts(json!([{"text": "liver"}]))).expect("text");
    let (long, short) = (Request::binary(&large_scan(), &text), Request::binary(&scan(), &text));
    let stream = begin(&client, &long);
    assert_eq!(short.send(&client).status, 200);
    assert!(reserved(&client) > 0, "the long call is still at work");
    drop(stream);
    let ended =
        |end: &str| client.send("GET", "/metrics", b"").text().contains(&format!("calls_total{{end=\"{end}\"}} 1"));
    let has_ended = || reserved(&client) == 0 && ended("cancelled");
    wait_until(Duration::from_secs(30), "a call without a client goes on", has_ended);
    assert!(ended("done"));
}
