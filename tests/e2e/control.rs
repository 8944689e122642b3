//! Who may give orders, which make sense, and how the command line gives them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use bo_tests::{Control, Order, Pool, Station, User, post_over_tcp, until};

use crate::resize::allocate_and_map;
use crate::{PROGRAMS, SEED, small, small_pool};

const NOBODY: u32 = 65534;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn orders_that_make_no_sense_are_refused_and_say_why() {
    let station = Station::embedded(&PROGRAMS, small_pool());
    let control = Control::of(&station);
    let (_actor, id) = control.client(&station, User::Nobody);
    let client = |call: &str| format!("/api/v1/clients/{id}/{call}");
    let refused = |call: &str, body: &str| control.refused(call, body);
    let of = |status: u16, cause: &str| (status, cause.to_owned());
    assert_eq!(refused("/api/v1/clients/77.1/suspend", ""), of(404, "no_such_client"));
    assert_eq!(refused("/api/v1/clients/77.1/evict", ""), of(404, "no_such_client"));
    assert_eq!(refused("/api/v1/objects/77.1/evict", ""), of(404, "no_such_object"));
    assert_eq!(refused("/api/v1/clients/x/suspend", ""), of(400, "malformed"));
    assert_eq!(refused(&client("dance"), ""), of(404, "no_such_call"));
    assert_eq!(refused(&client("resume"), ""), of(409, "running"));
    assert_eq!(refused(&client("resume"), "{"), of(400, "malformed"));
    assert_eq!(refused(&client("resume"), "{\"prefech\":true}"), of(400, "malformed"));
    control.suspend(&id);
    assert_eq!(refused(&client("suspend"), ""), of(409, "suspended"));
    assert_eq!(refused("/api/v1/pool/resize", ""), of(400, "malformed"));
    assert_eq!(refused("/api/v1/pool/resize", "{\"bytes\":\"1 GB\"}"), of(400, "malformed"));
    assert_eq!(refused("/api/v1/pool/resize", "{\"bytes\":4096}"), of(409, "size"));
    let long = format!("{{\"bytes\":\"{}\"}}", "1".repeat(70_000));
    assert_eq!(refused("/api/v1/pool/resize", &long), of(413, "too_large"));
    let (status, answer) = control.call("GET", &client("suspend"), "");
    assert_eq!((status, answer["cause"].as_str()), (405, Some("wrong_method")));
    assert_eq!(control.pool(), (small(), small()), "nothing has changed");
}

#[test]
fn over_tcp_nothing_is_changed_without_the_token() {
    let station = Station::embedded(&PROGRAMS, small_pool());
    let call = "/api/v1/clients/0.1/suspend";
    let (status, answer) = post_over_tcp(&station, call, "Authorization: Bearer x");
    assert_eq!(status, 403);
    assert!(answer["error"].as_str().expect("why").contains("--http-token-file"), "{answer}");

    let file = station.path("token");
    fs::write(&file, TOKEN).expect("there is room");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    let file = file.to_str().expect("plain").to_owned();
    let station = Station::process_with(&PROGRAMS, small_pool(), &["--http-token-file", &file]);
    let status = |header: &str| post_over_tcp(&station, call, header).0;
    assert_eq!(status(""), 403);
    assert_eq!(status("Authorization: Bearer 0123456789abcdef0123456789abcdeX"), 403);
    // It may, and there is no such client.
    assert_eq!(status(&format!("Authorization: Bearer {TOKEN}")), 404);
}

#[test]
fn a_token_that_others_can_read_is_refused_at_the_start() {
    let station = Station::embedded(&PROGRAMS, small_pool());
    let file = station.path("token");
    fs::write(&file, TOKEN).expect("there is room");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
    let socket = station.path("another");
    let output = Command::new(PROGRAMS.daemon)
        .args(["serve", "--http=127.0.0.1:0", "--vram=1MiB", "--http-token-file"])
        .arg(&file)
        .arg("--socket")
        .arg(&socket)
        .output()
        .expect("the program is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("chmod 600"), "{said}");
    assert!(!socket.exists());
}

#[test]
fn the_control_socket_is_for_its_owner_and_root_only() {
    let station = Station::embedded(&PROGRAMS, small_pool());
    let control = Control::of(&station);
    let mode = fs::metadata(control.path()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The file lets nobody else in; and if it did, they would be refused each call.
    let other = |arguments: &[&str]| command(&station, Some(NOBODY), arguments);
    let output = other(&["suspend", "0.1"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("user and root only"), "{said}");
    fs::set_permissions(control.path(), Permissions::from_mode(0o666)).expect("it is ours");
    let output = other(&["suspend", "0.1"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("only the user that runs the daemon"), "{said}");
}

/// The command line, with the control socket of this station.
fn command(station: &Station, user: Option<u32>, arguments: &[&str]) -> Output {
    // Where the program is, nobody else may look.
    let program = station.path("bo-manager");
    if !program.exists() {
        // A copy could not be run while another test forks: it is open for writing there.
        fs::hard_link(PROGRAMS.daemon, &program).expect("programs are on the same disk");
    }
    let mut command = Command::new(&program);
    command.args(arguments).env("BO_CONTROL", Control::of(station).path());
    if let Some(user) = user {
        command.uid(user);
    }
    command.output().expect("the program is there")
}

#[test]
fn the_command_line_gives_orders_and_ends_with_what_came_of_them() {
    let station = Station::process(&PROGRAMS, small_pool());
    let control = Control::of(&station);
    let (mut actor, id) = control.client(&station, User::Nobody);
    let (object, mapping) = allocate_and_map(&mut actor, small() / 2);
    actor.fill(mapping, SEED);
    let run = |arguments: &[&str]| {
        let output = command(&station, None, arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, said) = run(&["suspend", &id, "--wait"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("is suspended"), "{said}");
    assert_eq!(station.books().gauge("vram_used_bytes"), 0);
    assert_eq!(run(&["suspend", &id]).0, Some(1));
    let (code, said) = run(&["resume", &id, "--prefetch", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let answer: serde_json::Value = serde_json::from_str(&said).expect("one line of JSON");
    assert_eq!(answer["state"], "running");
    actor.check(mapping, SEED);
    until("all is out", || {
        let (code, said) = run(&["evict", "--client", &id]);
        assert_eq!(code, Some(0), "{said}");
        (station.books().gauge("vram_used_bytes") == 0).then_some(())
    });
    actor.check(mapping, SEED);
    let half = format!("{}B", small() / 2);
    let (code, said) = run(&["resize", &half, "--wait"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(control.pool(), (small() / 2, small() / 2));
    assert_eq!(run(&["resize", "64MB"]).0, Some(2));
    assert_eq!(run(&["resize", "4KiB"]).0, Some(1));
    actor.must(&Order::DropObject { object });
    let nowhere = station.path("nowhere");
    let nowhere = nowhere.to_str().expect("plain");
    let (code, said) = run(&["suspend", &id, "--control", nowhere]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no daemon takes orders"), "{said}");
}

#[test]
fn an_object_is_evicted_by_name_and_comes_back() {
    let station = Station::embedded(&PROGRAMS, Pool::kib(1024));
    let control = Control::of(&station);
    let (mut actor, _) = control.client(&station, User::Root);
    let (_, mapping) = actor.allocate_and_map(256 << 10);
    actor.fill(mapping, SEED);
    let status = control.get("/api/v1/status");
    let id = status["objects"][0]["id"].as_str().expect("an id");
    let mut bytes = 0;
    // A guess that is under way would bring some of it back.
    station.wait_until("nothing moves", |books| books.gauge("moves") == 0);
    // What is busy for a moment stays for a moment.
    until("all is out", || {
        let answer = control.order(&format!("/api/v1/objects/{id}/evict"), "");
        bytes += answer["bytes"].as_u64().expect("a number");
        (station.books().gauge("vram_used_bytes") == 0).then_some(())
    });
    assert_eq!(bytes, 256 << 10);
    actor.check(mapping, SEED);
}
