//! What goes with a thing that goes.

use super::Network;
use hive_types::id::{InstanceId, NetworkInterfaceId};

impl Network {
    /// Takes an interface out, with its addresses and flow logs; its Elastic IPs stay the account's.
    pub fn remove_interface(&mut self, id: &NetworkInterfaceId) {
        let Some(interface) = self.interfaces.remove(id) else { return };
        if let Some(subnet) = self.subnets.get_mut(&interface.subnet_id) {
            subnet.release(id);
        }
        self.flow_logs.retain(|_, log| log.resource_id != id.as_str());
        for address in self.addresses.values_mut() {
            if address.association.as_ref().is_some_and(|held| held.interface_id == *id) {
                address.association = None;
            }
        }
    }

    /// Gives back the interfaces of an instance that ends: those that end with it, and those that stay.
    pub fn release_instance(&mut self, instance: &InstanceId) {
        let of_it: Vec<_> = self.interfaces_of(instance).into_iter().map(|i| i.interface_id.clone()).collect();
        for id in of_it {
            let ends = self.interfaces.get_mut(&id).and_then(|interface| {
                interface.public_ip = None;
                interface.attachment.take()
            });
            if ends.is_some_and(|attachment| attachment.delete_on_termination) {
                self.remove_interface(&id);
            }
        }
    }
}
