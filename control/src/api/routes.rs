//! Which subject leads to which handler.

use super::{Api, Call, blocks, encryption, images, instances, keys, places, snapshots, sts, tags, volumes, vpc};
use crate::config::Role;
use crate::error::Error;
use futures::future::BoxFuture;
use hive_aws_types::{Operation, ebs, ec2, sts as sts_types};
use hive_bus::{Bus, BusError, Refusal, Serving};
use hive_types::envelope::{WORKER_QUEUE, subject};
use hive_types::{ApiError, ApiReply, ApiRequest};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tracing::{debug, error};

type Handler = Arc<dyn Fn(Arc<Api>, ApiRequest) -> BoxFuture<'static, ApiReply> + Send + Sync>;

/// Handlers by subject.
pub struct Routes {
    handlers: BTreeMap<String, Handler>,
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

impl Routes {
    /// The operations of `roles`.
    pub fn of(roles: &BTreeSet<Role>) -> Self {
        let mut routes = Self { handlers: BTreeMap::new() };
        for role in roles {
            match role {
                Role::Compute => routes.compute(),
                Role::Volume => routes.volume(),
                Role::Vpc => routes.vpc(),
                Role::Iam => routes.on::<sts_types::GetCallerIdentity, _, _>(sts::get_caller_identity),
            }
        }
        routes
    }

    fn compute(&mut self) {
        self.on::<ec2::RunInstances, _, _>(instances::run::run_instances);
        self.on::<ec2::DescribeInstances, _, _>(instances::describe::describe_instances);
        self.on::<ec2::DescribeInstanceStatus, _, _>(instances::describe::describe_instance_status);
        self.on::<ec2::DescribeInstanceTypes, _, _>(instances::types::describe_instance_types);
        self.on::<ec2::StartInstances, _, _>(instances::lifecycle::start_instances);
        self.on::<ec2::StopInstances, _, _>(instances::lifecycle::stop_instances);
        self.on::<ec2::RebootInstances, _, _>(instances::lifecycle::reboot_instances);
        self.on::<ec2::TerminateInstances, _, _>(instances::lifecycle::terminate_instances);
        self.on::<ec2::GetConsoleOutput, _, _>(instances::attribute::get_console_output);
        self.on::<ec2::DescribeInstanceAttribute, _, _>(instances::attribute::describe_instance_attribute);
        self.on::<ec2::ModifyInstanceAttribute, _, _>(instances::attribute::modify_instance_attribute);
        self.on::<ec2::RegisterImage, _, _>(images::register_image);
        self.on::<ec2::CreateImage, _, _>(images::create::create_image);
        self.on::<ec2::DescribeImages, _, _>(images::describe_images);
        self.on::<ec2::DeregisterImage, _, _>(images::deregister_image);
        self.on::<ec2::CreateKeyPair, _, _>(keys::create_key_pair);
        self.on::<ec2::ImportKeyPair, _, _>(keys::import_key_pair);
        self.on::<ec2::DescribeKeyPairs, _, _>(keys::describe_key_pairs);
        self.on::<ec2::DeleteKeyPair, _, _>(keys::delete_key_pair);
        self.on::<ec2::CreateTags, _, _>(tags::create_tags);
        self.on::<ec2::DeleteTags, _, _>(tags::delete_tags);
        self.on::<ec2::DescribeTags, _, _>(tags::describe_tags);
        self.on::<ec2::DescribeRegions, _, _>(places::describe_regions);
        self.on::<ec2::DescribeAvailabilityZones, _, _>(places::describe_availability_zones);
    }

    fn volume(&mut self) {
        self.on::<ec2::CreateVolume, _, _>(volumes::create_volume);
        self.on::<ec2::DescribeVolumes, _, _>(volumes::describe_volumes);
        self.on::<ec2::DeleteVolume, _, _>(volumes::delete_volume);
        self.on::<ec2::AttachVolume, _, _>(volumes::attach::attach_volume);
        self.on::<ec2::DetachVolume, _, _>(volumes::attach::detach_volume);
        self.on::<ec2::ModifyVolume, _, _>(volumes::modify::modify_volume);
        self.on::<ec2::DescribeVolumesModifications, _, _>(volumes::modify::describe_volumes_modifications);
        self.on::<ec2::DescribeVolumeStatus, _, _>(volumes::status::describe_volume_status);
        self.on::<ec2::DescribeVolumeAttribute, _, _>(volumes::status::describe_volume_attribute);
        self.on::<ec2::ModifyVolumeAttribute, _, _>(volumes::status::modify_volume_attribute);
        self.on::<ec2::CreateSnapshot, _, _>(snapshots::create::create_snapshot);
        self.on::<ec2::CreateSnapshots, _, _>(snapshots::create::create_snapshots);
        self.on::<ec2::DescribeSnapshots, _, _>(snapshots::describe::describe_snapshots);
        self.on::<ec2::DeleteSnapshot, _, _>(snapshots::delete_snapshot);
        self.on::<ec2::CopySnapshot, _, _>(snapshots::copy::copy_snapshot);
        self.on::<ec2::DescribeSnapshotAttribute, _, _>(snapshots::attribute::describe_snapshot_attribute);
        self.on::<ec2::ModifySnapshotAttribute, _, _>(snapshots::attribute::modify_snapshot_attribute);
        self.on::<ec2::ResetSnapshotAttribute, _, _>(snapshots::attribute::reset_snapshot_attribute);
        self.on::<ec2::GetEbsEncryptionByDefault, _, _>(encryption::get_default);
        self.on::<ec2::EnableEbsEncryptionByDefault, _, _>(encryption::enable_default);
        self.on::<ec2::DisableEbsEncryptionByDefault, _, _>(encryption::disable_default);
        self.on::<ec2::GetEbsDefaultKmsKeyId, _, _>(encryption::get_default_key);
        self.on::<ec2::ModifyEbsDefaultKmsKeyId, _, _>(encryption::modify_default_key);
        self.on::<ec2::ResetEbsDefaultKmsKeyId, _, _>(encryption::reset_default_key);
        self.on::<ebs::StartSnapshot, _, _>(blocks::write::start_snapshot);
        self.on::<ebs::PutSnapshotBlock, _, _>(blocks::write::put_snapshot_block);
        self.on::<ebs::CompleteSnapshot, _, _>(blocks::write::complete_snapshot);
        self.on::<ebs::ListSnapshotBlocks, _, _>(blocks::read::list_snapshot_blocks);
        self.on::<ebs::ListChangedBlocks, _, _>(blocks::read::list_changed_blocks);
        self.on::<ebs::GetSnapshotBlock, _, _>(blocks::read::get_snapshot_block);
    }

    fn vpc(&mut self) {
        self.networks();
        self.access();
        self.routing();
        self.interfaces();
    }

    fn networks(&mut self) {
        self.on::<ec2::CreateVpc, _, _>(vpc::vpcs::create_vpc);
        self.on::<ec2::CreateDefaultVpc, _, _>(vpc::vpcs::create_default_vpc);
        self.on::<ec2::DeleteVpc, _, _>(vpc::vpcs::delete_vpc);
        self.on::<ec2::DescribeVpcs, _, _>(vpc::vpcs::describe_vpcs);
        self.on::<ec2::ModifyVpcAttribute, _, _>(vpc::vpcs::modify_vpc_attribute);
        self.on::<ec2::DescribeVpcAttribute, _, _>(vpc::vpcs::describe_vpc_attribute);
        self.on::<ec2::AssociateVpcCidrBlock, _, _>(vpc::cidr_blocks::associate_vpc_cidr_block);
        self.on::<ec2::DisassociateVpcCidrBlock, _, _>(vpc::cidr_blocks::disassociate_vpc_cidr_block);
        self.on::<ec2::CreateSubnet, _, _>(vpc::subnets::create_subnet);
        self.on::<ec2::CreateDefaultSubnet, _, _>(vpc::subnets::create_default_subnet);
        self.on::<ec2::DeleteSubnet, _, _>(vpc::subnets::delete_subnet);
        self.on::<ec2::DescribeSubnets, _, _>(vpc::subnets::describe_subnets);
        self.on::<ec2::ModifySubnetAttribute, _, _>(vpc::subnets::modify_subnet_attribute);
        self.on::<ec2::AssociateSubnetCidrBlock, _, _>(vpc::ipv6::associate_subnet_cidr_block);
        self.on::<ec2::DisassociateSubnetCidrBlock, _, _>(vpc::ipv6::disassociate_subnet_cidr_block);
        self.on::<ec2::CreateDhcpOptions, _, _>(vpc::dhcp::create_dhcp_options);
        self.on::<ec2::DeleteDhcpOptions, _, _>(vpc::dhcp::delete_dhcp_options);
        self.on::<ec2::DescribeDhcpOptions, _, _>(vpc::dhcp::describe_dhcp_options);
        self.on::<ec2::AssociateDhcpOptions, _, _>(vpc::dhcp::associate_dhcp_options);
        self.on::<ec2::CreateFlowLogs, _, _>(vpc::flow_logs::create_flow_logs);
        self.on::<ec2::DeleteFlowLogs, _, _>(vpc::flow_logs::delete_flow_logs);
        self.on::<ec2::DescribeFlowLogs, _, _>(vpc::flow_logs::describe_flow_logs);
    }

    fn access(&mut self) {
        self.on::<ec2::CreateSecurityGroup, _, _>(vpc::groups::create_security_group);
        self.on::<ec2::DeleteSecurityGroup, _, _>(vpc::groups::delete_security_group);
        self.on::<ec2::DescribeSecurityGroups, _, _>(vpc::groups::describe_security_groups);
        self.on::<ec2::AuthorizeSecurityGroupIngress, _, _>(vpc::rules::authorize_ingress);
        self.on::<ec2::AuthorizeSecurityGroupEgress, _, _>(vpc::rules::authorize_egress);
        self.on::<ec2::RevokeSecurityGroupIngress, _, _>(vpc::rules::revoke_ingress);
        self.on::<ec2::RevokeSecurityGroupEgress, _, _>(vpc::rules::revoke_egress);
        self.on::<ec2::DescribeSecurityGroupRules, _, _>(vpc::rules::describe_rules);
        self.on::<ec2::ModifySecurityGroupRules, _, _>(vpc::rules::modify_rules);
        self.on::<ec2::UpdateSecurityGroupRuleDescriptionsIngress, _, _>(vpc::rules::describe_ingress_anew);
        self.on::<ec2::UpdateSecurityGroupRuleDescriptionsEgress, _, _>(vpc::rules::describe_egress_anew);
        self.on::<ec2::CreateManagedPrefixList, _, _>(vpc::prefix_lists::create);
        self.on::<ec2::DeleteManagedPrefixList, _, _>(vpc::prefix_lists::delete);
        self.on::<ec2::DescribeManagedPrefixLists, _, _>(vpc::prefix_lists::describe_managed);
        self.on::<ec2::ModifyManagedPrefixList, _, _>(vpc::prefix_lists::modify);
        self.on::<ec2::GetManagedPrefixListEntries, _, _>(vpc::prefix_lists::get_entries);
        self.on::<ec2::DescribePrefixLists, _, _>(vpc::prefix_lists::describe_of_services);
        self.on::<ec2::CreateNetworkAcl, _, _>(vpc::acls::create_network_acl);
        self.on::<ec2::DeleteNetworkAcl, _, _>(vpc::acls::delete_network_acl);
        self.on::<ec2::DescribeNetworkAcls, _, _>(vpc::acls::describe_network_acls);
        self.on::<ec2::CreateNetworkAclEntry, _, _>(vpc::acls::create_network_acl_entry);
        self.on::<ec2::ReplaceNetworkAclEntry, _, _>(vpc::acls::replace_network_acl_entry);
        self.on::<ec2::DeleteNetworkAclEntry, _, _>(vpc::acls::delete_network_acl_entry);
        self.on::<ec2::ReplaceNetworkAclAssociation, _, _>(vpc::acls::replace_network_acl_association);
    }

    fn routing(&mut self) {
        self.on::<ec2::CreateInternetGateway, _, _>(vpc::gateways::create_internet_gateway);
        self.on::<ec2::DeleteInternetGateway, _, _>(vpc::gateways::delete_internet_gateway);
        self.on::<ec2::AttachInternetGateway, _, _>(vpc::gateways::attach_internet_gateway);
        self.on::<ec2::DetachInternetGateway, _, _>(vpc::gateways::detach_internet_gateway);
        self.on::<ec2::DescribeInternetGateways, _, _>(vpc::gateways::describe_internet_gateways);
        self.on::<ec2::CreateEgressOnlyInternetGateway, _, _>(vpc::egress_only::create);
        self.on::<ec2::DeleteEgressOnlyInternetGateway, _, _>(vpc::egress_only::delete);
        self.on::<ec2::DescribeEgressOnlyInternetGateways, _, _>(vpc::egress_only::describe_all);
        self.on::<ec2::CreateRouteTable, _, _>(vpc::route_tables::create_route_table);
        self.on::<ec2::DeleteRouteTable, _, _>(vpc::route_tables::delete_route_table);
        self.on::<ec2::DescribeRouteTables, _, _>(vpc::route_tables::describe_route_tables);
        self.on::<ec2::AssociateRouteTable, _, _>(vpc::route_tables::associate_route_table);
        self.on::<ec2::DisassociateRouteTable, _, _>(vpc::route_tables::disassociate_route_table);
        self.on::<ec2::ReplaceRouteTableAssociation, _, _>(vpc::route_tables::replace_route_table_association);
        self.on::<ec2::CreateRoute, _, _>(vpc::routes::create_route);
        self.on::<ec2::ReplaceRoute, _, _>(vpc::routes::replace_route);
        self.on::<ec2::DeleteRoute, _, _>(vpc::routes::delete_route);
        self.on::<ec2::CreateNatGateway, _, _>(vpc::nat::create_nat_gateway);
        self.on::<ec2::DeleteNatGateway, _, _>(vpc::nat::delete_nat_gateway);
        self.on::<ec2::DescribeNatGateways, _, _>(vpc::nat::describe_nat_gateways);
    }

    fn interfaces(&mut self) {
        self.on::<ec2::CreateNetworkInterface, _, _>(vpc::interfaces::create_network_interface);
        self.on::<ec2::DeleteNetworkInterface, _, _>(vpc::interfaces::delete_network_interface);
        self.on::<ec2::DescribeNetworkInterfaces, _, _>(vpc::interfaces::describe_network_interfaces);
        self.on::<ec2::AttachNetworkInterface, _, _>(vpc::interfaces::attach::attach_network_interface);
        self.on::<ec2::DetachNetworkInterface, _, _>(vpc::interfaces::attach::detach_network_interface);
        self.on::<ec2::ModifyNetworkInterfaceAttribute, _, _>(vpc::interfaces::attribute::modify);
        self.on::<ec2::DescribeNetworkInterfaceAttribute, _, _>(vpc::interfaces::attribute::describe);
        self.on::<ec2::ResetNetworkInterfaceAttribute, _, _>(vpc::interfaces::attribute::reset);
        self.on::<ec2::AssignPrivateIpAddresses, _, _>(vpc::interfaces::addresses::assign_private_ip_addresses);
        self.on::<ec2::UnassignPrivateIpAddresses, _, _>(vpc::interfaces::addresses::unassign_private_ip_addresses);
        self.on::<ec2::AssignIpv6Addresses, _, _>(vpc::interfaces::ipv6::assign_ipv6_addresses);
        self.on::<ec2::UnassignIpv6Addresses, _, _>(vpc::interfaces::ipv6::unassign_ipv6_addresses);
        self.on::<ec2::AllocateAddress, _, _>(vpc::addresses::allocate_address);
        self.on::<ec2::ReleaseAddress, _, _>(vpc::addresses::release_address);
        self.on::<ec2::AssociateAddress, _, _>(vpc::addresses::associate_address);
        self.on::<ec2::DisassociateAddress, _, _>(vpc::addresses::disassociate_address);
        self.on::<ec2::DescribeAddresses, _, _>(vpc::addresses::describe_addresses);
        self.on::<ec2::DescribeAddressesAttribute, _, _>(vpc::addresses::describe_addresses_attribute);
    }

    fn on<O, H, F>(&mut self, handler: H)
    where
        O: Operation,
        H: Fn(Arc<Api>, Call, O::Input) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<O::Output, Error>> + Send + 'static,
    {
        let handle = move |api: Arc<Api>, request: ApiRequest| -> BoxFuture<'static, ApiReply> {
            Box::pin(async move {
                let ApiRequest { request_id, caller, params, .. } = request;
                let answered = async {
                    let input = O::decode(params)
                        .map_err(|e| Error::Fault(format!("the gateway passed an input that does not decode: {e}")))?;
                    let output = handler(api, Call { caller, now: Timestamp::now() }, input).await?;
                    O::encode(&output).map_err(|e| Error::Fault(format!("an output does not encode: {e}")))
                };
                match answered.await {
                    Ok(members) => {
                        debug!(operation = O::NAME, request_id, "done");
                        ApiReply::Ok(members)
                    }
                    Err(Error::Api(refused)) => {
                        debug!(operation = O::NAME, request_id, %refused, "refused");
                        ApiReply::Err(refused)
                    }
                    Err(fault) => {
                        let causes = anyhow::Error::new(fault);
                        error!(operation = O::NAME, request_id, error = format!("{causes:#}"), "failed");
                        ApiReply::Err(causes.downcast::<Error>().map_or(ApiError::Internal, Error::into_api))
                    }
                }
            })
        };
        self.handlers.insert(subject(O::SERVICE, O::NAME), Arc::new(handle));
    }

    /// Answers a call as the bus would have it answered; None when no handler is there.
    pub async fn call(&self, api: &Arc<Api>, request: ApiRequest) -> Option<ApiReply> {
        let handler = self.handlers.get(&subject(&request.service, &request.action))?;
        Some(handler(api.clone(), request).await)
    }
}

/// Serves the operations of `roles` until the result is dropped.
pub async fn serve(
    bus: &Bus,
    api: Arc<Api>,
    roles: &BTreeSet<Role>,
    permits: Arc<Semaphore>,
) -> Result<Vec<Serving>, BusError> {
    let mut serving = Vec::new();
    for (subject, handler) in Routes::of(roles).handlers {
        let api = api.clone();
        let answer = move |request: ApiRequest| {
            let reply = handler(api.clone(), request);
            async move { Ok::<_, Refusal>(reply.await) }
        };
        serving.push(bus.serve(&subject, WORKER_QUEUE, permits.clone(), answer).await?);
    }
    Ok(serving)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_typed_operation_has_a_handler() {
        let routes = Routes::of(&Role::ALL.into());
        for operation in hive_aws_types::OPERATIONS {
            let subject = subject(operation.service, operation.name);
            assert!(routes.handlers.contains_key(&subject), "{subject}");
        }
        assert_eq!(routes.handlers.len(), hive_aws_types::OPERATIONS.len());
    }
}
