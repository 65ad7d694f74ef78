//! What must hold of a cloud, told through the real aws-cli.

mod bad_input;
mod faults;
mod guest;
mod identity;
mod instances;
mod network;
mod objects;
mod volumes;
mod vpc;

use crate::harness::Scenario;

/// Every scenario, in the order in which they run: cheap ones first, those that break things last.
pub const ALL: &[Scenario] = &[
    Scenario { name: "identity-and-places", run: identity::who_and_where },
    Scenario { name: "bad-signatures", run: bad_input::signatures },
    Scenario { name: "bad-requests", run: bad_input::requests },
    Scenario { name: "bad-launches", run: bad_input::launches },
    Scenario { name: "bad-volumes", run: volumes::bad_requests },
    Scenario { name: "ebs-direct-blocks", run: volumes::direct_blocks },
    Scenario { name: "objects-round-trip", run: objects::round_trips },
    Scenario { name: "objects-multipart-300-mib", run: objects::multipart },
    Scenario { name: "objects-sync-and-presign", run: objects::sync_and_presign },
    Scenario { name: "launch-with-key-and-user-data", run: instances::launch },
    Scenario { name: "vpc", run: vpc::walk },
    Scenario { name: "vpc-packets", run: network::packets },
    Scenario { name: "two-guests-talk", run: instances::two_guests },
    Scenario { name: "second-volume-outlives-a-stop", run: instances::second_volume },
    Scenario { name: "snapshots-and-images", run: volumes::snapshots_and_images },
    Scenario { name: "daemons-die-under-a-writing-guest", run: faults::daemons_die },
];
