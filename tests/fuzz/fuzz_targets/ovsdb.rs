//! What a database server sends: framing, messages, updates, and the configuration that is read from them. Input that begins with an odd
//! byte comes after a schema and an empty replica, so that updates need not guess them.
#![no_main]

use libfuzzer_sys::fuzz_target;

const BEGUN: &str = r#"{"id":1,"error":null,"result":{"tables":{
"Open_vSwitch":{"columns":{"next_cfg":{"type":"integer"},"bridges":{"type":{"key":{"type":"uuid"},"min":0,"max":"unlimited"}},
 "datapaths":{"type":{"key":"string","value":"uuid","min":0,"max":"unlimited"}},"other_config":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}},
"Bridge":{"columns":{"name":{"type":"string"},"ports":{"type":{"key":"uuid","min":0,"max":"unlimited"}},"controller":{"type":{"key":"uuid","min":0,"max":"unlimited"}},
 "mirrors":{"type":{"key":"uuid","min":0,"max":"unlimited"}},"flow_tables":{"type":{"key":"integer","value":"uuid","min":0,"max":"unlimited"}},
 "other_config":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},"protocols":{"type":{"key":"string","min":0,"max":"unlimited"}}}},
"Port":{"columns":{"name":{"type":"string"},"interfaces":{"type":{"key":"uuid","min":1,"max":"unlimited"}},"tag":{"type":{"key":"integer","min":0}},
 "trunks":{"type":{"key":"integer","min":0,"max":4096}},"vlan_mode":{"type":{"key":"string","min":0}},"qos":{"type":{"key":"uuid","min":0}}}},
"Interface":{"columns":{"name":{"type":"string"},"type":{"type":"string"},"options":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},
 "mac":{"type":{"key":"string","min":0}},"ofport_request":{"type":{"key":"integer","min":0}},"mtu_request":{"type":{"key":"integer","min":0}}}},
"Controller":{"columns":{"target":{"type":"string"},"inactivity_probe":{"type":{"key":"integer","min":0}}}},
"Mirror":{"columns":{"name":{"type":"string"},"output_port":{"type":{"key":"uuid","min":0}},"output_vlan":{"type":{"key":"integer","min":0}}}}
}}}{"id":3,"error":null,"result":[false,"0",{}]}"#;

fuzz_target!(|bytes: &[u8]| {
    match bytes {
        [first, rest @ ..] if first % 2 == 1 => hive_ovsdb::hostile::converse(&[BEGUN.as_bytes(), rest].concat()),
        _ => hive_ovsdb::hostile::converse(bytes),
    }
});
