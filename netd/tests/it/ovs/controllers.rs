//! Controllers, there and not there.

use super::lab::{Lab, reaches};
use super::namespace::wait;
use std::process::{Child, Command, Stdio};

struct Controller(Child);

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// ovs-testcontroller in the node's namespace; it makes a learning switch of whoever connects.
fn controller(lab: &Lab, listen: &str, options: &[String]) -> Controller {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &lab.node.name, "ovs-testcontroller", listen]).args(options);
    // Its own packets of 1.5 it cannot write, nor always survive.
    command.args(["-O", "OpenFlow13"]);
    command.arg(format!("--unixctl={}", lab.path("controller.ctl")));
    command.env("OVS_RUNDIR", lab.directory.path());
    Controller(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn connected(lab: &Lab, as_it_is: &str) {
    wait("the database says whether a controller is connected", || {
        lab.vsctl("get controller br0 is_connected") == as_it_is
    });
}

#[test]
fn a_controller_makes_the_bridge_forward() {
    for method in ["tcp", "unix"] {
        let lab = Lab::new();
        let [one, _two] = lab.hosts::<2>();
        lab.vsctl("set-fail-mode br0 secure");
        let path = lab.path("ctl.sock");
        let (listen, target) = match method {
            "tcp" => ("ptcp:6653:127.0.0.1".to_owned(), "tcp:127.0.0.1:6653".to_owned()),
            _ => (format!("punix:{path}"), format!("unix:{path}")),
        };
        let there = controller(&lab, &listen, &[]);
        lab.vsctl(&format!("set-controller br0 {target}"));
        connected(&lab, "true");
        wait("the controller's flows let packets pass", || reaches(&one, "10.1.0.2"));
        assert!(!lab.ofctl("dump-flows br0").contains("NORMAL"));
        drop(there);
        connected(&lab, "false");
        let _there = controller(&lab, &listen, &[]);
        connected(&lab, "true");
        lab.appctl("bridge/reconnect br0");
        connected(&lab, "true");
    }
}

#[test]
fn without_a_controller_the_fail_mode_decides() {
    let lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    one.ping("10.1.0.2");
    // Nobody listens there.
    lab.vsctl("set-fail-mode br0 secure -- set-controller br0 tcp:127.0.0.1:6653");
    assert_eq!(lab.ofctl("dump-flows br0").lines().count(), 1);
    assert!(!reaches(&one, "10.1.0.2"));
    lab.vsctl("set controller br0 inactivity_probe=500");
    lab.vsctl("set-fail-mode br0 standalone");
    wait("the bridge forwards by itself", || reaches(&one, "10.1.0.2"));
    assert_eq!(lab.vsctl("get controller br0 is_connected"), "false");
    assert!(lab.vsctl("get controller br0 status").contains("Connection refused"));
    lab.vsctl("set-fail-mode br0 secure");
    assert!(!reaches(&one, "10.1.0.2"));
    lab.vsctl("del-fail-mode br0 -- del-controller br0");
    wait("without controllers it forwards at once", || reaches(&one, "10.1.0.2"));
}

#[test]
fn a_bridge_listens_for_controllers() {
    let lab = Lab::new();
    let _hosts = lab.hosts::<1>();
    let socket = lab.path("br0.extra");
    lab.vsctl(&format!("set-controller br0 ptcp:6654:127.0.0.1 punix:{socket}"));
    wait("TCP is answered", || lab.try_ofctl("show tcp:127.0.0.1:6654").is_ok_and(|text| text.contains("1(p1)")));
    wait("the socket is answered", || lab.try_ofctl(&format!("dump-flows unix:{socket}")).is_ok());
    // Passive ones have no say in the fail mode.
    assert!(lab.ofctl("dump-flows br0").contains("NORMAL"));
    lab.vsctl("del-controller br0");
    wait("nobody listens any more", || lab.try_ofctl("show tcp:127.0.0.1:6654").is_err());
    // Elsewhere than in the run directory nothing is made.
    lab.vsctl("set-controller br0 punix:/tmp/netd-escape.sock");
    lab.vsctl("set bridge br0 external_ids:x=y");
    assert!(!std::fs::exists("/tmp/netd-escape.sock").unwrap());
}

#[test]
fn a_controller_over_tls_is_known_by_its_certificate() {
    let lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    let authority = rcgen::KeyPair::generate().unwrap();
    let named = |name: &str| {
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters
    };
    let mut parameters = named("authority");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = parameters.self_signed(&authority).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority);
    let write = |name: &str, text: String| std::fs::write(lab.path(name), text).unwrap();
    write("ca.pem", root.pem());
    for name in ["switch", "controller"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = named(name).signed_by(&key, &issuer).unwrap();
        write(&format!("{name}-key.pem"), key.serialize_pem());
        write(&format!("{name}.pem"), certificate.pem());
    }
    let stranger_key = rcgen::KeyPair::generate().unwrap();
    let stranger = named("controller").self_signed(&stranger_key).unwrap();
    write("stranger-key.pem", stranger_key.serialize_pem());
    write("stranger.pem", stranger.pem());
    let options = |name: &str| {
        [
            format!("--private-key={}", lab.path(&format!("{name}-key.pem"))),
            format!("--certificate={}", lab.path(&format!("{name}.pem"))),
            format!("--ca-cert={}", lab.path("ca.pem")),
        ]
    };
    lab.vsctl(&format!("set-ssl {} {} {}", lab.path("switch-key.pem"), lab.path("switch.pem"), lab.path("ca.pem")));
    let wrong = controller(&lab, "pssl:6653:127.0.0.1", &options("stranger"));
    lab.vsctl("set-fail-mode br0 secure -- set-controller br0 ssl:127.0.0.1:6653");
    wait("a stranger is refused", || lab.vsctl("get controller br0 status").contains("certificate"));
    assert_eq!(lab.vsctl("get controller br0 is_connected"), "false");
    drop(wrong);
    let _right = controller(&lab, "pssl:6653:127.0.0.1", &options("controller"));
    connected(&lab, "true");
    wait("its flows let packets pass", || reaches(&one, "10.1.0.2"));
}
