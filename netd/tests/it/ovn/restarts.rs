//! netd goes, the controller goes, and both come back.

use super::lab::{NETWORKS, machines, region};
use crate::ovs::lab::reaches;
use crate::ovs::namespace::wait;

#[test]
fn a_new_netd_is_programmed_again_and_an_old_one_forwards_alone() {
    let (central, mut chassis) = region(NETWORKS);
    let [web1, web2, _app1] = machines(&chassis);
    central.sync();
    web1.ping("10.1.2.21");
    chassis.lab.kill_switch();
    assert!(!reaches(&web1, "10.1.1.12"));
    chassis.lab.start_switch();
    wait("the controller has programmed it", || reaches(&web1, "10.1.2.21"));
    web1.stream(&web2, "10.1.1.12", 1 << 20);

    // The controller's end changes nothing, and its return interrupts nothing.
    let flows = || chassis.lab.ofctl("dump-flows br-int").lines().count();
    let before = flows();
    chassis.stop_controller();
    web1.ping("10.1.1.12");
    let flows = chassis.lab.ofctl("dump-flows br-int").lines().count();
    assert_eq!(flows, before);
    chassis.start_controller();
    central.nbctl("acl-add web to-lport 1000 outport==\"web2\"&&ip drop");
    central.sync();
    assert!(!reaches(&web1, "10.1.1.12"));
    web1.ping("10.1.2.21");
}
