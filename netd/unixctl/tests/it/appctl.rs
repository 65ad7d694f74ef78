//! What the operator sees.

use crate::support::{Daemon, eventually, exists, told};
use hive_unixctl::{Commands, Pidfile, PidfileError, Server, ServerError};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use tracing::level_filters::LevelFilter;

#[test]
fn it_is_found_by_name_by_file_and_as_the_default() {
    let daemon = Daemon::start();
    let version = "netd (Open vSwitch) 3.1.0\n";
    assert_eq!(daemon.says(&["version"]), version);
    let socket = daemon.socket.to_str().unwrap();
    let by_file = daemon.appctl_command(&["-t", socket, "version"]).output().unwrap();
    assert_eq!(told(&by_file), (0, version.to_owned(), String::new()));

    // In ovs-vswitchd's place, ovs-appctl needs not be told whom to ask.
    let daemon = Daemon::start_as("ovs-vswitchd");
    assert_eq!(told(&daemon.appctl_command(&["version"]).output().unwrap()).1, version);
}

#[test]
fn commands_are_listed() {
    let daemon = Daemon::start();
    let listed = daemon.says(&["list-commands"]);
    assert_eq!(listed, daemon.says(&["help"]));
    assert!(listed.starts_with("The available commands are:\n  coverage/read-counter   COUNTER\n"), "{listed}");
    for line in [
        "  exit                    [--cleanup]\n",
        "  fdb/show                bridge\n",
        "  vlog/set                {spec | PATTERN:destination:pattern}\n",
        "  list-commands           \n",
    ] {
        assert!(listed.contains(line), "{listed}");
    }
}

#[test]
fn errors_are_ovs_vswitchds() {
    let daemon = Daemon::start();
    let fails = |arguments: &[&str], text: &str| {
        let (status, output, errors) = daemon.appctl(arguments);
        assert_eq!((status, output.as_str()), (2, ""));
        assert_eq!(errors, format!("{text}\novs-appctl: netd: server returned an error\n"));
    };
    fails(&["frob"], "\"frob\" is not a valid command (use \"list-commands\" to see a list of valid commands)");
    fails(&["version", "x"], "\"version\" command takes at most 0 arguments");
    fails(&["fdb/show"], "\"fdb/show\" command requires at least 1 arguments");
    fails(&["fdb/show", "br9"], "no such bridge");
    fails(&["vlog/set", "frob:dbg"], "no destination, level, or module \"frob\"");
    fails(&["vlog/reopen"], "there is no log file");
    fails(&["coverage/read-counter", "frob"], "No such counter");
    assert_eq!(daemon.says(&["fdb/show", "br0"]), " port  VLAN  MAC                Age\n");
}

#[test]
fn levels_counters_and_memory() {
    let daemon = Daemon::start();
    assert_eq!(daemon.says(&["vlog/set", "worker:dbg", "ovsdb:file:off"]), "");
    let levels = [("ovsdb".to_owned(), LevelFilter::OFF), ("worker".to_owned(), LevelFilter::DEBUG)];
    assert_eq!(*daemon.levels.lock().unwrap(), levels);
    let header = "                 console    syslog    file\n                 -------    ------    ------\n";
    let listed = "ovsdb              OFF        OFF        OFF\nworker             DBG        OFF        OFF\n";
    assert_eq!(daemon.says(&["vlog/list"]), format!("{header}{listed}"));
    daemon.says(&["vlog/set", "ANY:syslog:err"]);
    assert_eq!(*daemon.levels.lock().unwrap(), levels);

    let coverage = daemon.says(&["coverage/show"]);
    assert!(coverage.starts_with("Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash="));
    assert!(
        coverage.contains(
            "rx_packets                 0.0/sec     0.000/sec        0.0000/sec   total: 12\n1 events never hit\n"
        ),
        "{coverage}"
    );
    assert_eq!(daemon.says(&["coverage/read-counter", "rx_packets"]), "12\n");
    assert_eq!(daemon.says(&["memory/show"]), "flows:7 ports:2\n");
}

#[test]
fn a_long_answer_arrives() {
    let daemon = Daemon::start();
    assert_eq!(daemon.says(&["large", "20000000"]).len(), 20_000_001);
    let (status, _, errors) = daemon.appctl(&["large", "70000000"]);
    assert!(status == 2 && errors.starts_with("the answer is longer than"), "{errors}");
}

#[test]
fn exit_returns_when_the_daemon_is_done() {
    let mut daemon = Daemon::start();
    let mut child = daemon.appctl_command(&["-t", "netd", "exit", "--cleanup"]).stdout(Stdio::null()).spawn().unwrap();
    let call = daemon.calls.recv_timeout(crate::support::DEADLINE).unwrap();
    assert_eq!(call.arguments(), ["--cleanup"]);
    assert_eq!(child.try_wait().unwrap(), None);
    call.answer(Ok(String::new()));
    daemon.stop();
    let status = eventually("ovs-appctl returns", || child.try_wait().unwrap());
    assert!(status.success());
    assert!(!exists(&daemon.socket) && !exists(&daemon.rundir.path().join("netd.pid")));
}

#[test]
fn sockets_and_pidfiles_of_the_dead_are_replaced_those_of_the_living_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.ctl");
    drop(UnixListener::bind(&path).unwrap());
    assert!(exists(&path));
    let living = Server::bind(&path).unwrap().serve(Commands::default()).unwrap();
    assert!(matches!(Server::bind(&path), Err(ServerError::InUse { .. })));
    drop(living);
    assert!(!exists(&path));
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(Server::bind(&path), Err(ServerError::NoSocket { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");

    let path = directory.path().join("x.pid");
    std::fs::write(&path, "1\n").unwrap();
    let pidfile = Pidfile::create(&path).unwrap();
    // Only another process can see the lock, and this one would lose it by opening the file.
    let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\nprint(f.read(),end='')\ntry: fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)\nexcept OSError: sys.exit(3)";
    let seen = std::process::Command::new("python3").args(["-c", script]).arg(&path).output().unwrap();
    assert_eq!(told(&seen), (3, format!("{}\n", std::process::id()), String::new()));
    drop(pidfile);
    assert!(!exists(&path));
}

#[test]
fn a_daemon_that_runs_is_not_started_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.pid");
    let script = "import fcntl,sys,time\nf=open(sys.argv[1],'w')\nf.write('4242\\n');f.flush()\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('locked',flush=True)\nsys.stdin.read()";
    let mut other = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(other.stdout.take().unwrap()), &mut line).unwrap();
    let refused = Pidfile::create(&path);
    assert!(matches!(&refused, Err(PidfileError::Running { pid, .. }) if pid == "4242"), "{refused:?}");
    drop(other.stdin.take());
    other.wait().unwrap();
    assert!(Pidfile::create(&path).is_ok());
}
