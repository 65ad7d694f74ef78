//! Security groups with their rules, prefix lists, network ACLs.

use super::{fault, is_absent, list};
use crate::cloud::{ACCOUNT, Cloud, text};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use serde_json::{Value, json};

fn tcp(port: i32, cidr: &str) -> Value {
    json!({"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr}]})
}

#[tokio::test]
async fn groups_by_name_and_use() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let web = cloud.group(&vpc, "web").await;
    let again = json!({"VpcId": vpc, "GroupName": "web", "Description": "d"});
    let twice = cloud.refused("CreateSecurityGroup", again).await;
    assert_eq!(twice, ApiError::Duplicate { resource: Resource::SecurityGroup, id: "web".into() });
    // The same name in another VPC is another group.
    let default = cloud.default_vpc().await;
    cloud.group(&default, "web").await;
    for (name, description) in [("default", "d"), ("sg-x", "d"), ("", "d"), ("a", ""), ("ü", "d")] {
        let params = json!({"VpcId": vpc, "GroupName": name, "Description": description});
        let refused = cloud.refused("CreateSecurityGroup", params).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{name}: {refused:?}");
    }
    let by_name = cloud.ok("DescribeSecurityGroups", json!({"GroupNames": ["web"]})).await;
    assert_eq!(by_name["SecurityGroups"][0]["VpcId"], json!(default), "names are of the default VPC");

    let db = cloud.group(&vpc, "db").await;
    let pair = json!([{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": web}]}]);
    cloud.ok("AuthorizeSecurityGroupIngress", json!({"GroupId": db, "IpPermissions": pair})).await;
    let named = cloud.refused("DeleteSecurityGroup", json!({"GroupId": web})).await;
    assert!(matches!(named, ApiError::DependencyViolation { .. }), "{named:?}");
    cloud.ok("DeleteSecurityGroup", json!({"GroupId": db})).await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let interface = cloud.ok("CreateNetworkInterface", json!({"SubnetId": subnet, "Groups": [web]})).await;
    let used = cloud.refused("DeleteSecurityGroup", json!({"GroupId": web})).await;
    assert!(matches!(used, ApiError::DependencyViolation { .. }), "{used:?}");
    let id = interface["NetworkInterface"]["NetworkInterfaceId"].clone();
    cloud.ok("DeleteNetworkInterface", json!({"NetworkInterfaceId": id})).await;
    cloud.ok("DeleteSecurityGroup", json!({"GroupId": web})).await;
    assert!(is_absent(&cloud.refused("DeleteSecurityGroup", json!({"GroupId": web})).await, Resource::SecurityGroup));
    let defaults = cloud.of_vpc("DescribeSecurityGroups", "SecurityGroups", &vpc).await;
    let fixed = cloud.refused("DeleteSecurityGroup", json!({"GroupId": defaults[0]["GroupId"]})).await;
    assert_eq!(fault(&fixed), NetworkFault::CannotDelete);
}

#[tokio::test]
async fn rules_come_go_and_change() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let group = cloud.group(&vpc, "web").await;
    let allow = |permission: Value| json!({"GroupId": group, "IpPermissions": [permission]});
    let described = json!({"IpProtocol": "6", "FromPort": 22, "ToPort": 22, "IpRanges": [
        {"CidrIp": "10.0.0.9/8", "Description": "inside"}, {"CidrIp": "192.0.2.0/24"}]});
    let made = cloud.ok("AuthorizeSecurityGroupIngress", allow(described)).await;
    let rules = list(&made, "SecurityGroupRules");
    assert_eq!(rules.len(), 2);
    assert_eq!((&rules[0]["CidrIpv4"], &rules[0]["IpProtocol"]), (&json!("10.0.0.0/8"), &json!("tcp")));
    assert_eq!(rules[0]["Description"], "inside");
    let twice = cloud.refused("AuthorizeSecurityGroupIngress", allow(tcp(22, "10.0.0.0/8"))).await;
    assert_eq!(fault(&twice), NetworkFault::RuleExists);
    let same = json!({"GroupId": group, "IpPermissions": [tcp(80, "0.0.0.0/0"), tcp(80, "0.0.0.0/0")]});
    let same = cloud.refused("AuthorizeSecurityGroupIngress", same).await;
    assert!(matches!(same, ApiError::InvalidParameterValue { .. }), "{same:?}");
    // One that fails adds none of the others.
    let half = json!({"GroupId": group, "IpPermissions": [tcp(443, "0.0.0.0/0"), tcp(22, "10.0.0.0/8")]});
    assert_eq!(fault(&cloud.refused("AuthorizeSecurityGroupIngress", half).await), NetworkFault::RuleExists);
    let flat = json!({"GroupId": group, "IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIp": "0.0.0.0/0"});
    cloud.ok("AuthorizeSecurityGroupIngress", flat).await;
    let shown = cloud.ok("DescribeSecurityGroups", json!({"GroupIds": [group]})).await;
    let permissions = list(&shown["SecurityGroups"][0], "IpPermissions");
    assert_eq!(permissions.len(), 2, "tcp 22 and udp 53: {permissions:?}");
    assert_eq!(list(&permissions[0], "IpRanges").len(), 2);

    for bad in [
        json!({"IpProtocol": "tcp", "FromPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}),
        json!({"IpProtocol": "tcp", "FromPort": 23, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}),
        json!({"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65536, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}),
        json!({"IpProtocol": "pigeon", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}),
        json!({"IpProtocol": "icmp", "FromPort": 300, "ToPort": 0, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}),
        json!({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/33"}]}),
        json!({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "<b>"}]}),
    ] {
        let refused = cloud.refused("AuthorizeSecurityGroupIngress", allow(bad.clone())).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{bad}: {refused:?}");
    }
    let nobody = json!({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-00000000000000000"}]});
    let nobody = cloud.refused("AuthorizeSecurityGroupIngress", allow(nobody)).await;
    assert!(is_absent(&nobody, Resource::SecurityGroup), "{nobody:?}");

    let other = json!([{"SecurityGroupRuleId": rules[1]["SecurityGroupRuleId"], "SecurityGroupRule": {
        "IpProtocol": "tcp", "FromPort": 2222, "ToPort": 2222, "CidrIpv6": "2001:db8::/32", "Description": "new"}}]);
    cloud.ok("ModifySecurityGroupRules", json!({"GroupId": group, "SecurityGroupRules": other})).await;
    let ask = json!({"SecurityGroupRuleIds": [rules[1]["SecurityGroupRuleId"]]});
    let changed = cloud.ok("DescribeSecurityGroupRules", ask).await;
    assert_eq!(changed["SecurityGroupRules"][0]["CidrIpv6"], "2001:db8::/32");
    assert_eq!(changed["SecurityGroupRules"][0]["FromPort"], 2222);
    let described = json!({"GroupId": group, "SecurityGroupRuleDescriptions": [
        {"SecurityGroupRuleId": rules[0]["SecurityGroupRuleId"], "Description": "told anew"}]});
    cloud.ok("UpdateSecurityGroupRuleDescriptionsIngress", described).await;
    let ask = json!({"SecurityGroupRuleIds": [rules[0]["SecurityGroupRuleId"]]});
    assert_eq!(cloud.ok("DescribeSecurityGroupRules", ask).await["SecurityGroupRules"][0]["Description"], "told anew");

    let revoked = cloud.ok("RevokeSecurityGroupIngress", allow(tcp(22, "10.0.0.0/8"))).await;
    assert_eq!(revoked["RevokedSecurityGroupRules"][0]["SecurityGroupRuleId"], rules[0]["SecurityGroupRuleId"]);
    let twice = cloud.refused("RevokeSecurityGroupIngress", allow(tcp(22, "10.0.0.0/8"))).await;
    assert_eq!(fault(&twice), NetworkFault::RuleAbsent);
    let by_id = json!({"GroupId": group, "SecurityGroupRuleIds": [rules[1]["SecurityGroupRuleId"]]});
    cloud.ok("RevokeSecurityGroupIngress", by_id.clone()).await;
    assert!(is_absent(&cloud.refused("RevokeSecurityGroupIngress", by_id).await, Resource::SecurityGroupRule));
    let out = json!({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]});
    cloud.ok("RevokeSecurityGroupEgress", allow(out.clone())).await;
    cloud.ok("AuthorizeSecurityGroupEgress", allow(out)).await;
}

#[tokio::test]
async fn a_group_has_sixty_rules_each_way() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let group = cloud.group(&vpc, "web").await;
    let many: Vec<Value> = (0..60).map(|port| tcp(port, "10.0.0.0/8")).collect();
    cloud.ok("AuthorizeSecurityGroupIngress", json!({"GroupId": group, "IpPermissions": many})).await;
    let over = json!({"GroupId": group, "IpPermissions": [tcp(99, "10.0.0.0/8")]});
    assert_eq!(fault(&cloud.refused("AuthorizeSecurityGroupIngress", over.clone()).await), NetworkFault::TooManyRules);
    cloud.ok("AuthorizeSecurityGroupEgress", over).await;
}

#[tokio::test]
async fn prefix_lists_have_versions_and_weight() {
    let cloud = Cloud::memory().await;
    let create = json!({
        "PrefixListName": "office", "AddressFamily": "IPv4", "MaxEntries": 3, "ClientToken": "once",
        "Entries": [{"Cidr": "192.0.2.0/24", "Description": "here"}],
    });
    let made = cloud.ok("CreateManagedPrefixList", create.clone()).await;
    assert_eq!((&made["PrefixList"]["Version"], &made["PrefixList"]["OwnerId"]), (&json!(1), &json!(ACCOUNT)));
    let id = text(&made["PrefixList"]["PrefixListId"]);
    assert_eq!(cloud.ok("CreateManagedPrefixList", create.clone()).await["PrefixList"]["PrefixListId"], json!(id));
    let mut other = create.clone();
    other["MaxEntries"] = json!(4);
    assert_eq!(cloud.refused("CreateManagedPrefixList", other).await, ApiError::IdempotentParameterMismatch);

    let add = |version: i64, cidrs: &[&str]| {
        let entries: Vec<Value> = cidrs.iter().map(|cidr| json!({"Cidr": cidr})).collect();
        json!({"PrefixListId": id, "CurrentVersion": version, "AddEntries": entries})
    };
    let full = cloud.refused("ModifyManagedPrefixList", add(1, &["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"])).await;
    assert_eq!(fault(&full), NetworkFault::PrefixListFull);
    assert_eq!(cloud.ok("ModifyManagedPrefixList", add(1, &["10.0.0.0/8"])).await["PrefixList"]["Version"], 2);
    let stale = cloud.refused("ModifyManagedPrefixList", add(1, &["10.1.0.0/16"])).await;
    assert_eq!(fault(&stale), NetworkFault::PrefixListVersion);
    let family = cloud.refused("ModifyManagedPrefixList", add(2, &["2001:db8::/32"])).await;
    assert!(matches!(family, ApiError::InvalidParameterValue { .. }), "{family:?}");
    let entries = cloud.ok("GetManagedPrefixListEntries", json!({"PrefixListId": id})).await;
    assert_eq!(list(&entries, "Entries").len(), 2);
    let first = json!({"PrefixListId": id, "TargetVersion": 1});
    assert_eq!(cloud.ok("GetManagedPrefixListEntries", first).await["Entries"][0]["Description"], "here");
    let page = cloud.ok("GetManagedPrefixListEntries", json!({"PrefixListId": id, "MaxResults": 1})).await;
    let rest = json!({"PrefixListId": id, "MaxResults": 1, "NextToken": page["NextToken"]});
    assert_eq!(cloud.ok("GetManagedPrefixListEntries", rest).await["Entries"][0]["Cidr"], "192.0.2.0/24");

    let vpc = cloud.vpc("10.0.0.0/16").await;
    let group = cloud.group(&vpc, "web").await;
    let permission = json!([{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": id}]}]);
    cloud.ok("AuthorizeSecurityGroupIngress", json!({"GroupId": group, "IpPermissions": permission})).await;
    let used = cloud.refused("DeleteManagedPrefixList", json!({"PrefixListId": id})).await;
    assert_eq!(fault(&used), NetworkFault::PrefixListInUse);
    // Its three entries count: 57 more rules fit, and it cannot grow to 100.
    let many: Vec<Value> = (0..57).map(|port| tcp(port, "10.0.0.0/8")).collect();
    cloud.ok("AuthorizeSecurityGroupIngress", json!({"GroupId": group, "IpPermissions": many})).await;
    let over = json!({"GroupId": group, "IpPermissions": [tcp(99, "10.0.0.0/8")]});
    assert_eq!(fault(&cloud.refused("AuthorizeSecurityGroupIngress", over).await), NetworkFault::TooManyRules);
    let grow = json!({"PrefixListId": id, "MaxEntries": 100});
    assert_eq!(fault(&cloud.refused("ModifyManagedPrefixList", grow).await), NetworkFault::TooManyRules);
    cloud.ok("DeleteSecurityGroup", json!({"GroupId": group})).await;
    cloud.ok("DeleteManagedPrefixList", json!({"PrefixListId": id})).await;
    assert_eq!(list(&cloud.ok("DescribeManagedPrefixLists", json!({})).await, "PrefixLists"), &[] as &[Value]);
    assert_eq!(list(&cloud.ok("DescribePrefixLists", json!({})).await, "PrefixLists"), &[] as &[Value]);
}

#[tokio::test]
async fn acls_and_their_entries() {
    let cloud = Cloud::memory().await;
    let vpc = cloud.vpc("10.0.0.0/16").await;
    let subnet = cloud.subnet(&vpc, "10.0.0.0/24").await;
    let acl = text(&cloud.ok("CreateNetworkAcl", json!({"VpcId": vpc})).await["NetworkAcl"]["NetworkAclId"]);
    let entry = |number: i32, more: Value| {
        let mut entry = json!({"NetworkAclId": acl, "RuleNumber": number, "Egress": false, "Protocol": "tcp",
            "RuleAction": "allow", "CidrBlock": "0.0.0.0/0", "PortRange": {"From": 80, "To": 80}});
        if let (Value::Object(entry), Value::Object(more)) = (&mut entry, more) {
            entry.extend(more);
        }
        entry
    };
    cloud.ok("CreateNetworkAclEntry", entry(100, json!({}))).await;
    let twice = cloud.refused("CreateNetworkAclEntry", entry(100, json!({}))).await;
    assert_eq!(fault(&twice), NetworkFault::AclEntryExists);
    cloud.ok("CreateNetworkAclEntry", entry(100, json!({"Egress": true}))).await;
    let icmp = json!({"Protocol": "1", "IcmpTypeCode": {"Type": -1, "Code": -1}});
    cloud.ok("CreateNetworkAclEntry", entry(90, icmp)).await;
    for (number, bad) in [
        (0, json!({})),
        (32_767, json!({})),
        (1, json!({"Protocol": "pigeon"})),
        (1, json!({"PortRange": {"From": 80, "To": 79}})),
        (1, json!({"CidrBlock": "10.0.0.0/40"})),
        (1, json!({"RuleAction": "maybe"})),
    ] {
        let refused = cloud.refused("CreateNetworkAclEntry", entry(number, bad)).await;
        assert!(matches!(refused, ApiError::InvalidParameterValue { .. }), "{number}: {refused:?}");
    }
    cloud.ok("ReplaceNetworkAclEntry", entry(100, json!({"RuleAction": "deny"}))).await;
    let shown = cloud.ok("DescribeNetworkAcls", json!({"NetworkAclIds": [acl]})).await;
    let numbers: Vec<&Value> = list(&shown["NetworkAcls"][0], "Entries").iter().map(|e| &e["RuleNumber"]).collect();
    assert_eq!(json!(numbers), json!([90, 100, 32_767, 100, 32_767]), "in the order of being tried");
    assert_eq!(shown["NetworkAcls"][0]["Entries"][1]["RuleAction"], "deny");
    let absent = cloud.refused("ReplaceNetworkAclEntry", entry(7, json!({}))).await;
    assert!(is_absent(&absent, Resource::NetworkAclEntry));
    let last = json!({"NetworkAclId": acl, "RuleNumber": 90, "Egress": false});
    cloud.ok("DeleteNetworkAclEntry", last.clone()).await;
    assert!(is_absent(&cloud.refused("DeleteNetworkAclEntry", last).await, Resource::NetworkAclEntry));
    for number in 1..20 {
        cloud.ok("CreateNetworkAclEntry", entry(number, json!({}))).await;
    }
    let over = cloud.refused("CreateNetworkAclEntry", entry(200, json!({}))).await;
    assert_eq!(fault(&over), NetworkFault::TooManyAclEntries);

    let default = cloud.of_vpc("DescribeNetworkAcls", "NetworkAcls", &vpc).await;
    let default = default.iter().find(|acl| acl["IsDefault"] == true).expect("a default").clone();
    let fixed = cloud.refused("DeleteNetworkAcl", json!({"NetworkAclId": default["NetworkAclId"]})).await;
    assert!(matches!(fixed, ApiError::InvalidParameterValue { .. }), "{fixed:?}");
    assert_eq!(default["Associations"][0]["SubnetId"], json!(subnet));
    let association = default["Associations"][0]["NetworkAclAssociationId"].clone();
    let moved =
        cloud.ok("ReplaceNetworkAclAssociation", json!({"AssociationId": association, "NetworkAclId": acl})).await;
    let used = cloud.refused("DeleteNetworkAcl", json!({"NetworkAclId": acl})).await;
    assert!(matches!(used, ApiError::DependencyViolation { .. }), "{used:?}");
    let stale = json!({"AssociationId": association, "NetworkAclId": acl});
    assert!(is_absent(&cloud.refused("ReplaceNetworkAclAssociation", stale).await, Resource::NetworkAclAssociation));
    let back = json!({"AssociationId": moved["NewAssociationId"], "NetworkAclId": default["NetworkAclId"]});
    cloud.ok("ReplaceNetworkAclAssociation", back).await;
    cloud.ok("DeleteNetworkAcl", json!({"NetworkAclId": acl})).await;
}
