//! What a switch refuses with: one name for each reason, and its numbers in each version.

use crate::Version;
use crate::wire::{Put, Reader};

/// Nicira's vendor id.
pub(crate) const NICIRA: u32 = 0x0000_2320;
/// The Open Networking Foundation's vendor id.
pub(crate) const ONF: u32 = 0x4f4e_4600;
/// In OpenFlow 1.0 the type of an error that carries a vendor's own type and code (NXET_VENDOR).
const NX_VENDOR_ERROR: u16 = 0xb0c2;
/// From OpenFlow 1.2 on: a vendor's error (OFPET_EXPERIMENTER).
const EXPERIMENTER: u16 = 0xffff;
/// How much of a refused message is sent back: all of it, as Open vSwitch does, if the error still fits in a message. The
/// specification asks for 64 bytes at least.
pub const REQUEST_BYTES_RETURNED: usize = crate::MESSAGE_BYTES_MAX - 32;

/// An error's numbers in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    /// The version cannot say it.
    No,
    /// Standard type and code.
    Of(u16, u16),
    /// Nicira's type and code; from OpenFlow 1.2 on the code is 0 and the type stands in the place of the code.
    Nx(u16, u16),
    /// The foundation's extension to OpenFlow 1.3.
    Onf(u16),
}
use Wire::{No, Nx, Of, Onf};

macro_rules! codes {
    ($($name:ident $text:literal: $v10:expr, $v13:expr, $v14:expr, $v15:expr;)*) => {
        /// Why a message was refused. Named by the group and code of the specification (`OFPBRC_BAD_LEN` is
        /// [`ErrorCode::RequestBadLen`]) and of Nicira's extensions (`NXBRC_...`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum ErrorCode {
            $(#[error($text)] $name,)*
        }

        impl ErrorCode {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in the specification.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            fn wire(self, version: Version) -> Wire {
                let [v10, v13, v14, v15] = match self { $(Self::$name => [$v10, $v13, $v14, $v15],)* };
                match version {
                    Version::V1_0 => v10,
                    Version::V1_3 => v13,
                    Version::V1_4 => v14,
                    Version::V1_5 => v15,
                }
            }
        }
    };
}

// Columns: OpenFlow 1.0, 1.3, 1.4, 1.5. As `ovs-ofctl print-error` of Open vSwitch 3.1 says.
#[rustfmt::skip]
codes! {
    HelloIncompatible "OFPHFC_INCOMPATIBLE": Of(0, 0), Of(0, 0), Of(0, 0), Of(0, 0);
    HelloEperm "OFPHFC_EPERM": Of(0, 1), Of(0, 1), Of(0, 1), Of(0, 1);
    RequestBadVersion "OFPBRC_BAD_VERSION": Of(1, 0), Of(1, 0), Of(1, 0), Of(1, 0);
    RequestBadType "OFPBRC_BAD_TYPE": Of(1, 1), Of(1, 1), Of(1, 1), Of(1, 1);
    RequestBadStat "OFPBRC_BAD_STAT": Of(1, 2), Of(1, 2), Of(1, 2), Of(1, 2);
    RequestBadVendor "OFPBRC_BAD_VENDOR": Of(1, 3), Of(1, 3), Of(1, 3), Of(1, 3);
    RequestBadSubtype "OFPBRC_BAD_SUBTYPE": Of(1, 4), Of(1, 4), Of(1, 4), Of(1, 4);
    RequestEperm "OFPBRC_EPERM": Of(1, 5), Of(1, 5), Of(1, 5), Of(1, 5);
    RequestBadLen "OFPBRC_BAD_LEN": Of(1, 6), Of(1, 6), Of(1, 6), Of(1, 6);
    RequestBufferEmpty "OFPBRC_BUFFER_EMPTY": Of(1, 7), Of(1, 7), Of(1, 7), Of(1, 7);
    RequestBufferUnknown "OFPBRC_BUFFER_UNKNOWN": Of(1, 8), Of(1, 8), Of(1, 8), Of(1, 8);
    RequestBadTableId "OFPBRC_BAD_TABLE_ID": Nx(1, 512), Of(1, 9), Of(1, 9), Of(1, 9);
    RequestIsSecondary "OFPBRC_IS_SECONDARY": Of(1, 5), Of(1, 10), Of(1, 10), Of(1, 10);
    RequestBadPort "OFPBRC_BAD_PORT": Nx(1, 514), Of(1, 11), Of(1, 11), Of(1, 11);
    RequestBadPacket "OFPBRC_BAD_PACKET": No, Of(1, 12), Of(1, 12), Of(1, 12);
    RequestMultipartBufferOverflow "OFPBRC_MULTIPART_BUFFER_OVERFLOW": No, Of(1, 13), Of(1, 13), Of(1, 13);
    RequestMultipartRequestTimeout "OFPBRC_MULTIPART_REQUEST_TIMEOUT": No, Onf(2640), Of(1, 14), Of(1, 14);
    RequestMultipartReplyTimeout "OFPBRC_MULTIPART_REPLY_TIMEOUT": No, Onf(2641), Of(1, 15), Of(1, 15);
    RequestMultipartBadSched "OFPBRC_MULTIPART_BAD_SCHED": No, No, No, Of(1, 16);
    RequestPipelineFieldsOnly "OFPBRC_PIPELINE_FIELDS_ONLY": No, No, No, Of(1, 17);
    RequestUnknown "OFPBRC_UNKNOWN": No, No, No, Of(1, 18);
    ActionBadType "OFPBAC_BAD_TYPE": Of(2, 0), Of(2, 0), Of(2, 0), Of(2, 0);
    ActionBadLen "OFPBAC_BAD_LEN": Of(2, 1), Of(2, 1), Of(2, 1), Of(2, 1);
    ActionBadVendor "OFPBAC_BAD_VENDOR": Of(2, 2), Of(2, 2), Of(2, 2), Of(2, 2);
    ActionBadVendorType "OFPBAC_BAD_VENDOR_TYPE": Of(2, 3), Of(2, 3), Of(2, 3), Of(2, 3);
    ActionBadOutPort "OFPBAC_BAD_OUT_PORT": Of(2, 4), Of(2, 4), Of(2, 4), Of(2, 4);
    ActionBadArgument "OFPBAC_BAD_ARGUMENT": Of(2, 5), Of(2, 5), Of(2, 5), Of(2, 5);
    ActionEperm "OFPBAC_EPERM": Of(2, 6), Of(2, 6), Of(2, 6), Of(2, 6);
    ActionTooMany "OFPBAC_TOO_MANY": Of(2, 7), Of(2, 7), Of(2, 7), Of(2, 7);
    ActionBadQueue "OFPBAC_BAD_QUEUE": Of(2, 8), Of(2, 8), Of(2, 8), Of(2, 8);
    ActionBadOutGroup "OFPBAC_BAD_OUT_GROUP": Nx(2, 9), Of(2, 9), Of(2, 9), Of(2, 9);
    ActionMatchInconsistent "OFPBAC_MATCH_INCONSISTENT": Nx(1, 522), Of(2, 10), Of(2, 10), Of(2, 10);
    ActionUnsupportedOrder "OFPBAC_UNSUPPORTED_ORDER": No, Of(2, 11), Of(2, 11), Of(2, 11);
    ActionBadTag "OFPBAC_BAD_TAG": No, Of(2, 12), Of(2, 12), Of(2, 12);
    ActionBadSetType "OFPBAC_BAD_SET_TYPE": Nx(1, 523), Of(2, 13), Of(2, 13), Of(2, 13);
    ActionBadSetLen "OFPBAC_BAD_SET_LEN": Nx(1, 524), Of(2, 14), Of(2, 14), Of(2, 14);
    ActionBadSetArgument "OFPBAC_BAD_SET_ARGUMENT": Nx(1, 525), Of(2, 15), Of(2, 15), Of(2, 15);
    ActionBadSetMask "OFPBAC_BAD_SET_MASK": No, Onf(4250), Onf(4250), Of(2, 16);
    ActionBadMeter "OFPBAC_BAD_METER": No, No, No, Of(2, 17);
    InstructionUnknownInst "OFPBIC_UNKNOWN_INST": No, Of(3, 0), Of(3, 0), Of(3, 0);
    InstructionUnsupInst "OFPBIC_UNSUP_INST": Nx(2, 257), Of(3, 1), Of(3, 1), Of(3, 1);
    InstructionBadTableId "OFPBIC_BAD_TABLE_ID": No, Of(3, 2), Of(3, 2), Of(3, 2);
    InstructionUnsupMetadata "OFPBIC_UNSUP_METADATA": No, Of(3, 3), Of(3, 3), Of(3, 3);
    InstructionUnsupMetadataMask "OFPBIC_UNSUP_METADATA_MASK": No, Of(3, 4), Of(3, 4), Of(3, 4);
    InstructionBadExperimenter "OFPBIC_BAD_EXPERIMENTER": No, Of(3, 5), Of(3, 5), Of(3, 5);
    InstructionBadExpType "OFPBIC_BAD_EXP_TYPE": No, Of(3, 6), Of(3, 6), Of(3, 6);
    InstructionBadLen "OFPBIC_BAD_LEN": No, Of(3, 7), Of(3, 7), Of(3, 7);
    InstructionEperm "OFPBIC_EPERM": No, Of(3, 8), Of(3, 8), Of(3, 8);
    InstructionDupInst "OFPBIC_DUP_INST": No, Onf(2600), Of(3, 9), Of(3, 9);
    MatchBadType "OFPBMC_BAD_TYPE": No, Of(4, 0), Of(4, 0), Of(4, 0);
    MatchBadLen "OFPBMC_BAD_LEN": No, Of(4, 1), Of(4, 1), Of(4, 1);
    MatchBadTag "OFPBMC_BAD_TAG": No, Of(4, 2), Of(4, 2), Of(4, 2);
    MatchBadDlAddrMask "OFPBMC_BAD_DL_ADDR_MASK": No, Of(4, 3), Of(4, 3), Of(4, 3);
    MatchBadNwAddrMask "OFPBMC_BAD_NW_ADDR_MASK": No, Of(4, 4), Of(4, 4), Of(4, 4);
    MatchBadWildcards "OFPBMC_BAD_WILDCARDS": Nx(1, 262), Of(4, 5), Of(4, 5), Of(4, 5);
    MatchBadField "OFPBMC_BAD_FIELD": Nx(0, 263), Of(4, 6), Of(4, 6), Of(4, 6);
    MatchBadValue "OFPBMC_BAD_VALUE": Nx(1, 258), Of(4, 7), Of(4, 7), Of(4, 7);
    MatchBadMask "OFPBMC_BAD_MASK": Nx(1, 259), Of(4, 8), Of(4, 8), Of(4, 8);
    MatchBadPrereq "OFPBMC_BAD_PREREQ": Nx(1, 260), Of(4, 9), Of(4, 9), Of(4, 9);
    MatchDupField "OFPBMC_DUP_FIELD": Nx(1, 261), Of(4, 10), Of(4, 10), Of(4, 10);
    MatchEperm "OFPBMC_EPERM": No, Of(4, 11), Of(4, 11), Of(4, 11);
    FlowModUnknown "OFPFMFC_UNKNOWN": No, Of(5, 0), Of(5, 0), Of(5, 0);
    FlowModTableFull "OFPFMFC_TABLE_FULL": Of(3, 0), Of(5, 1), Of(5, 1), Of(5, 1);
    FlowModBadTableId "OFPFMFC_BAD_TABLE_ID": No, Of(5, 2), Of(5, 2), Of(5, 2);
    FlowModBadEmergTimeout "OFPFMFC_BAD_EMERG_TIMEOUT": Of(3, 3), No, No, No;
    FlowModOverlap "OFPFMFC_OVERLAP": Of(3, 1), Of(5, 3), Of(5, 3), Of(5, 3);
    FlowModEperm "OFPFMFC_EPERM": Of(3, 2), Of(5, 4), Of(5, 4), Of(5, 4);
    FlowModBadTimeout "OFPFMFC_BAD_TIMEOUT": No, Of(5, 5), Of(5, 5), Of(5, 5);
    FlowModUnsupported "OFPFMFC_UNSUPPORTED": Of(3, 5), No, No, No;
    FlowModBadCommand "OFPFMFC_BAD_COMMAND": Of(3, 4), Of(5, 6), Of(5, 6), Of(5, 6);
    FlowModBadFlags "OFPFMFC_BAD_FLAGS": Nx(3, 258), Of(5, 7), Of(5, 7), Of(5, 7);
    FlowModCantSync "OFPFMFC_CANT_SYNC": No, No, Of(5, 8), Of(5, 8);
    FlowModBadPriority "OFPFMFC_BAD_PRIORITY": No, Onf(2360), Of(5, 9), Of(5, 9);
    FlowModIsSync "OFPFMFC_IS_SYNC": No, No, Of(5, 10), Of(5, 10);
    GroupModGroupExists "OFPGMFC_GROUP_EXISTS": Nx(6, 0), Of(6, 0), Of(6, 0), Of(6, 0);
    GroupModInvalidGroup "OFPGMFC_INVALID_GROUP": Nx(6, 1), Of(6, 1), Of(6, 1), Of(6, 1);
    GroupModWeightUnsupported "OFPGMFC_WEIGHT_UNSUPPORTED": Nx(6, 2), Of(6, 2), Of(6, 2), Of(6, 2);
    GroupModOutOfGroups "OFPGMFC_OUT_OF_GROUPS": Nx(6, 3), Of(6, 3), Of(6, 3), Of(6, 3);
    GroupModOutOfBuckets "OFPGMFC_OUT_OF_BUCKETS": Nx(6, 4), Of(6, 4), Of(6, 4), Of(6, 4);
    GroupModChainingUnsupported "OFPGMFC_CHAINING_UNSUPPORTED": Nx(6, 5), Of(6, 5), Of(6, 5), Of(6, 5);
    GroupModWatchUnsupported "OFPGMFC_WATCH_UNSUPPORTED": Nx(6, 6), Of(6, 6), Of(6, 6), Of(6, 6);
    GroupModLoop "OFPGMFC_LOOP": Nx(6, 7), Of(6, 7), Of(6, 7), Of(6, 7);
    GroupModUnknownGroup "OFPGMFC_UNKNOWN_GROUP": Nx(6, 8), Of(6, 8), Of(6, 8), Of(6, 8);
    GroupModChainedGroup "OFPGMFC_CHAINED_GROUP": Nx(6, 9), Of(6, 9), Of(6, 9), Of(6, 9);
    GroupModBadType "OFPGMFC_BAD_TYPE": Nx(6, 10), Of(6, 10), Of(6, 10), Of(6, 10);
    GroupModBadCommand "OFPGMFC_BAD_COMMAND": Nx(6, 11), Of(6, 11), Of(6, 11), Of(6, 11);
    GroupModBadBucket "OFPGMFC_BAD_BUCKET": Nx(6, 12), Of(6, 12), Of(6, 12), Of(6, 12);
    GroupModBadWatch "OFPGMFC_BAD_WATCH": Nx(6, 13), Of(6, 13), Of(6, 13), Of(6, 13);
    GroupModEperm "OFPGMFC_EPERM": Nx(6, 14), Of(6, 14), Of(6, 14), Of(6, 14);
    GroupModUnknownBucket "OFPGMFC_UNKNOWN_BUCKET": Nx(6, 15), No, No, Of(6, 15);
    GroupModBucketExists "OFPGMFC_BUCKET_EXISTS": Nx(6, 16), No, No, Of(6, 16);
    PortModBadPort "OFPPMFC_BAD_PORT": Of(4, 0), Of(7, 0), Of(7, 0), Of(7, 0);
    PortModBadHwAddr "OFPPMFC_BAD_HW_ADDR": Of(4, 1), Of(7, 1), Of(7, 1), Of(7, 1);
    PortModBadConfig "OFPPMFC_BAD_CONFIG": No, Of(7, 2), Of(7, 2), Of(7, 2);
    PortModBadAdvertise "OFPPMFC_BAD_ADVERTISE": No, Of(7, 3), Of(7, 3), Of(7, 3);
    PortModEperm "OFPPMFC_EPERM": No, Of(7, 4), Of(7, 4), Of(7, 4);
    TableModBadTable "OFPTMFC_BAD_TABLE": No, Of(8, 0), Of(8, 0), Of(8, 0);
    TableModBadConfig "OFPTMFC_BAD_CONFIG": No, Of(8, 1), Of(8, 1), Of(8, 1);
    TableModEperm "OFPTMFC_EPERM": No, Of(8, 2), Of(8, 2), Of(8, 2);
    QueueOpBadPort "OFPQOFC_BAD_PORT": Of(5, 0), Of(9, 0), Of(9, 0), Of(9, 0);
    QueueOpBadQueue "OFPQOFC_BAD_QUEUE": Of(5, 1), Of(9, 1), Of(9, 1), Of(9, 1);
    QueueOpEperm "OFPQOFC_EPERM": Of(5, 2), Of(9, 2), Of(9, 2), Of(9, 2);
    SwitchConfigBadFlags "OFPSCFC_BAD_FLAGS": No, Of(10, 0), Of(10, 0), Of(10, 0);
    SwitchConfigBadLen "OFPSCFC_BAD_LEN": No, Of(10, 1), Of(10, 1), Of(10, 1);
    SwitchConfigEperm "OFPSCFC_EPERM": No, Of(10, 2), Of(10, 2), Of(10, 2);
    RoleRequestStale "OFPRRFC_STALE": No, Of(11, 0), Of(11, 0), Of(11, 0);
    RoleRequestUnsup "OFPRRFC_UNSUP": No, Of(11, 1), Of(11, 1), Of(11, 1);
    RoleRequestBadRole "OFPRRFC_BAD_ROLE": Nx(1, 513), Of(11, 2), Of(11, 2), Of(11, 2);
    RoleRequestIdUnsup "OFPRRFC_ID_UNSUP": No, No, No, Of(11, 3);
    RoleRequestIdInUse "OFPRRFC_ID_IN_USE": No, No, No, Of(11, 4);
    MeterModUnknown "OFPMMFC_UNKNOWN": No, Of(12, 0), Of(12, 0), Of(12, 0);
    MeterModMeterExists "OFPMMFC_METER_EXISTS": No, Of(12, 1), Of(12, 1), Of(12, 1);
    MeterModInvalidMeter "OFPMMFC_INVALID_METER": No, Of(12, 2), Of(12, 2), Of(12, 2);
    MeterModUnknownMeter "OFPMMFC_UNKNOWN_METER": No, Of(12, 3), Of(12, 3), Of(12, 3);
    MeterModBadCommand "OFPMMFC_BAD_COMMAND": No, Of(12, 4), Of(12, 4), Of(12, 4);
    MeterModBadFlags "OFPMMFC_BAD_FLAGS": No, Of(12, 5), Of(12, 5), Of(12, 5);
    MeterModBadRate "OFPMMFC_BAD_RATE": No, Of(12, 6), Of(12, 6), Of(12, 6);
    MeterModBadBurst "OFPMMFC_BAD_BURST": No, Of(12, 7), Of(12, 7), Of(12, 7);
    MeterModBadBand "OFPMMFC_BAD_BAND": No, Of(12, 8), Of(12, 8), Of(12, 8);
    MeterModBadBandValue "OFPMMFC_BAD_BAND_VALUE": No, Of(12, 9), Of(12, 9), Of(12, 9);
    MeterModOutOfMeters "OFPMMFC_OUT_OF_METERS": No, Of(12, 10), Of(12, 10), Of(12, 10);
    MeterModOutOfBands "OFPMMFC_OUT_OF_BANDS": No, Of(12, 11), Of(12, 11), Of(12, 11);
    TableFeaturesBadTable "OFPTFFC_BAD_TABLE": No, Of(13, 0), Of(13, 0), Of(13, 0);
    TableFeaturesBadMetadata "OFPTFFC_BAD_METADATA": No, Of(13, 1), Of(13, 1), Of(13, 1);
    TableFeaturesEperm "OFPTFFC_EPERM": No, Of(13, 5), Of(13, 5), Of(13, 5);
    TableFeaturesBadCapa "OFPTFFC_BAD_CAPA": No, No, No, Of(13, 6);
    TableFeaturesBadMaxEnt "OFPTFFC_BAD_MAX_ENT": No, No, No, Of(13, 7);
    TableFeaturesBadFeatures "OFPTFFC_BAD_FEATURES": No, No, No, Of(13, 8);
    TableFeaturesBadCommand "OFPTFFC_BAD_COMMAND": No, No, No, Of(13, 9);
    TableFeaturesTooMany "OFPTFFC_TOO_MANY": No, No, No, Of(13, 10);
    PropertyBadType "OFPBPC_BAD_TYPE": Nx(13, 2), Of(13, 2), Of(14, 0), Of(14, 0);
    PropertyBadLen "OFPBPC_BAD_LEN": Nx(13, 3), Of(13, 3), Of(14, 1), Of(14, 1);
    PropertyBadValue "OFPBPC_BAD_VALUE": Nx(13, 4), Of(13, 4), Of(14, 2), Of(14, 2);
    PropertyTooMany "OFPBPC_TOO_MANY": Nx(14, 3), Onf(4443), Of(14, 3), Of(14, 3);
    PropertyDupType "OFPBPC_DUP_TYPE": Nx(14, 4), Onf(4444), Of(14, 4), Of(14, 4);
    PropertyBadExperimenter "OFPBPC_BAD_EXPERIMENTER": Nx(14, 5), Onf(4445), Of(14, 5), Of(14, 5);
    PropertyBadExpType "OFPBPC_BAD_EXP_TYPE": Nx(14, 6), Onf(4446), Of(14, 6), Of(14, 6);
    PropertyBadExpValue "OFPBPC_BAD_EXP_VALUE": Nx(14, 7), Onf(4447), Of(14, 7), Of(14, 7);
    PropertyEperm "OFPBPC_EPERM": Nx(14, 8), Onf(4448), Of(14, 8), Of(14, 8);
    AsyncConfigInvalid "OFPACFC_INVALID": No, Onf(2370), Of(15, 0), Of(15, 0);
    AsyncConfigUnsupported "OFPACFC_UNSUPPORTED": No, Onf(2371), Of(15, 1), Of(15, 1);
    AsyncConfigEperm "OFPACFC_EPERM": No, Onf(2372), Of(15, 2), Of(15, 2);
    BundleBadVersion "OFPBFC_BAD_VERSION": No, No, Nx(22, 0), Nx(22, 0);
    BundleUnknown "OFPBFC_UNKNOWN": No, Onf(2300), Of(17, 0), Of(17, 0);
    BundleEperm "OFPBFC_EPERM": No, Onf(2301), Of(17, 1), Of(17, 1);
    BundleBadId "OFPBFC_BAD_ID": No, Onf(2302), Of(17, 2), Of(17, 2);
    BundleBundleExist "OFPBFC_BUNDLE_EXIST": No, Onf(2303), Of(17, 3), Of(17, 3);
    BundleBundleClosed "OFPBFC_BUNDLE_CLOSED": No, Onf(2304), Of(17, 4), Of(17, 4);
    BundleOutOfBundles "OFPBFC_OUT_OF_BUNDLES": No, Onf(2305), Of(17, 5), Of(17, 5);
    BundleBadType "OFPBFC_BAD_TYPE": No, Onf(2306), Of(17, 6), Of(17, 6);
    BundleBadFlags "OFPBFC_BAD_FLAGS": No, Onf(2307), Of(17, 7), Of(17, 7);
    BundleMsgBadLen "OFPBFC_MSG_BAD_LEN": No, Onf(2308), Of(17, 8), Of(17, 8);
    BundleMsgBadXid "OFPBFC_MSG_BAD_XID": No, Onf(2309), Of(17, 9), Of(17, 9);
    BundleMsgUnsup "OFPBFC_MSG_UNSUP": No, Onf(2310), Of(17, 10), Of(17, 10);
    BundleMsgConflict "OFPBFC_MSG_CONFLICT": No, Onf(2311), Of(17, 11), Of(17, 11);
    BundleMsgTooMany "OFPBFC_MSG_TOO_MANY": No, Onf(2312), Of(17, 12), Of(17, 12);
    BundleMsgFailed "OFPBFC_MSG_FAILED": No, Onf(2313), Of(17, 13), Of(17, 13);
    BundleTimeout "OFPBFC_TIMEOUT": No, Onf(2314), Of(17, 14), Of(17, 14);
    BundleBundleInProgress "OFPBFC_BUNDLE_IN_PROGRESS": No, Onf(2315), Of(17, 15), Of(17, 15);
    BundleSchedNotSupported "OFPBFC_SCHED_NOT_SUPPORTED": No, No, No, Of(17, 16);
    BundleSchedFuture "OFPBFC_SCHED_FUTURE": No, No, No, Of(17, 17);
    BundleSchedPast "OFPBFC_SCHED_PAST": No, No, No, Of(17, 18);
    FlowMonitorUnknown "OFPMOFC_UNKNOWN": No, No, Of(16, 0), Of(16, 0);
    FlowMonitorMonitorExists "OFPMOFC_MONITOR_EXISTS": Nx(1, 517), Nx(6, 0), Of(16, 1), Of(16, 1);
    FlowMonitorInvalidMonitor "OFPMOFC_INVALID_MONITOR": No, No, Of(16, 2), Of(16, 2);
    FlowMonitorUnknownMonitor "OFPMOFC_UNKNOWN_MONITOR": Nx(1, 519), Nx(8, 0), Of(16, 3), Of(16, 3);
    FlowMonitorBadCommand "OFPMOFC_BAD_COMMAND": No, No, Of(16, 4), Of(16, 4);
    FlowMonitorBadFlags "OFPMOFC_BAD_FLAGS": Nx(1, 518), Nx(7, 0), Of(16, 5), Of(16, 5);
    FlowMonitorBadTableId "OFPMOFC_BAD_TABLE_ID": No, No, Of(16, 6), Of(16, 6);
    FlowMonitorBadOut "OFPMOFC_BAD_OUT": No, No, Of(16, 7), Of(16, 7);
    NxActionBadConjunction "NXBAC_BAD_CONJUNCTION": Nx(2, 526), Nx(15, 0), Nx(15, 0), Nx(15, 0);
    NxActionBadEdProp "NXBAC_BAD_ED_PROP": No, Nx(41, 0), Nx(41, 0), Nx(41, 0);
    NxActionBadHeaderType "NXBAC_BAD_HEADER_TYPE": No, Nx(39, 0), Nx(39, 0), Nx(39, 0);
    NxActionCtDatapathSupport "NXBAC_CT_DATAPATH_SUPPORT": Nx(1, 265), Nx(42, 0), Nx(42, 0), Nx(42, 0);
    NxActionMustBeZero "NXBAC_MUST_BE_ZERO": Nx(2, 256), Nx(11, 0), Nx(11, 0), Nx(11, 0);
    NxActionUnknownEdProp "NXBAC_UNKNOWN_ED_PROP": No, Nx(40, 0), Nx(40, 0), Nx(40, 0);
    NxMatchCtDatapathSupport "NXBMC_CT_DATAPATH_SUPPORT": Nx(1, 264), Nx(43, 0), Nx(43, 0), Nx(43, 0);
    NxRequestBadReason "NXBRC_BAD_REASON": Nx(1, 516), Nx(5, 0), Nx(5, 0), Nx(5, 0);
    NxRequestFmBadEvent "NXBRC_FM_BAD_EVENT": Nx(1, 520), Nx(9, 0), Nx(9, 0), Nx(9, 0);
    NxRequestMustBeZero "NXBRC_MUST_BE_ZERO": Nx(1, 515), Nx(4, 0), Nx(4, 0), Nx(4, 0);
    NxRequestNxmBadType "NXBRC_NXM_BAD_TYPE": Nx(1, 257), Nx(3, 0), Nx(3, 0), Nx(3, 0);
    NxRequestNxmInvalid "NXBRC_NXM_INVALID": Nx(1, 256), Nx(2, 0), Nx(2, 0), Nx(2, 0);
    NxRequestUnencodableError "NXBRC_UNENCODABLE_ERROR": Nx(1, 521), Nx(10, 0), Nx(10, 0), Nx(10, 0);
    NxFlowModBadTableId "NXFMFC_BAD_TABLE_ID": Nx(5, 257), Nx(13, 0), Nx(13, 0), Nx(13, 0);
    NxFlowModHardware "NXFMFC_HARDWARE": Nx(5, 256), Nx(12, 0), Nx(12, 0), Nx(12, 0);
    NxFlowModInvalidTlvField "NXFMFC_INVALID_TLV_FIELD": Nx(1, 536), Nx(37, 0), Nx(37, 0), Nx(37, 0);
    NxQueueOpQueueError "NXQOFC_QUEUE_ERROR": No, No, Nx(23, 0), Nx(23, 0);
    NxResumeNotSupported "NXR_NOT_SUPPORTED": Nx(1, 533), Nx(34, 0), Nx(34, 0), Nx(34, 0);
    NxResumeStale "NXR_STALE": Nx(1, 534), Nx(35, 0), Nx(35, 0), Nx(35, 0);
    NxStatsNotConfigured "NXST_NOT_CONFIGURED": Nx(1, 535), Nx(36, 0), Nx(36, 0), Nx(36, 0);
    NxTableFeaturesDupTable "NXTFFC_DUP_TABLE": No, Nx(44, 0), Nx(44, 0), Nx(44, 0);
    NxTlvTableModAlreadyMapped "NXTTMFC_ALREADY_MAPPED": Nx(1, 531), Nx(20, 0), Nx(20, 0), Nx(20, 0);
    NxTlvTableModBadCommand "NXTTMFC_BAD_COMMAND": Nx(1, 527), Nx(16, 0), Nx(16, 0), Nx(16, 0);
    NxTlvTableModBadFieldIdx "NXTTMFC_BAD_FIELD_IDX": Nx(1, 529), Nx(18, 0), Nx(18, 0), Nx(18, 0);
    NxTlvTableModBadOptLen "NXTTMFC_BAD_OPT_LEN": Nx(1, 528), Nx(17, 0), Nx(17, 0), Nx(17, 0);
    NxTlvTableModDupEntry "NXTTMFC_DUP_ENTRY": Nx(1, 532), Nx(21, 0), Nx(21, 0), Nx(21, 0);
    NxTlvTableModInvalidTlvDel "NXTTMFC_INVALID_TLV_DEL": Nx(1, 537), Nx(38, 0), Nx(38, 0), Nx(38, 0);
    NxTlvTableModTableFull "NXTTMFC_TABLE_FULL": Nx(1, 530), Nx(19, 0), Nx(19, 0), Nx(19, 0);
}

/// OFPT_ERROR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMessage {
    /// Of a code that is not known here, only numbers are.
    pub code: Result<ErrorCode, UnknownError>,
    /// Of the refused message: at most [`REQUEST_BYTES_RETURNED`] bytes. Of a failed hello: text.
    pub data: Vec<u8>,
}

/// The numbers of an error without name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownError {
    /// 0: standard.
    pub vendor: u32,
    pub kind: u16,
    pub code: u16,
}

impl ErrorMessage {
    /// The refusal of `request`, a whole message.
    pub fn refuse(code: ErrorCode, request: &[u8]) -> Self {
        let returned = request.len().min(REQUEST_BYTES_RETURNED);
        Self { code: Ok(code), data: request.get(..returned).unwrap_or_default().to_vec() }
    }

    /// No version in common (OFPHFC_INCOMPATIBLE).
    pub fn incompatible(text: &str) -> Self {
        Self { code: Ok(ErrorCode::HelloIncompatible), data: text.as_bytes().to_vec() }
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let wire = match self.code {
            Ok(code) => match code.wire(version) {
                No => ErrorCode::NxRequestUnencodableError.wire(version),
                wire => wire,
            },
            Err(UnknownError { vendor: 0, kind, code }) => Of(kind, code),
            Err(UnknownError { vendor: ONF, kind, .. }) => Onf(kind),
            Err(UnknownError { kind, code, .. }) => Nx(kind, code),
        };
        match wire {
            No => {}
            Of(kind, code) => {
                out.u16(kind);
                out.u16(code);
            }
            Nx(kind, code) if version == Version::V1_0 => {
                out.u16(NX_VENDOR_ERROR);
                out.u16(0);
                out.u32(NICIRA);
                out.u16(kind);
                out.u16(code);
            }
            Nx(kind, _) => {
                out.u16(EXPERIMENTER);
                out.u16(kind);
                out.u32(NICIRA);
            }
            Onf(kind) => {
                out.u16(EXPERIMENTER);
                out.u16(kind);
                out.u32(ONF);
            }
        }
        out.put(&self.data);
    }

    pub(crate) fn decode(version: Version, body: &[u8]) -> Result<Self, ErrorCode> {
        let mut reader = Reader::new(body, ErrorCode::RequestBadLen);
        let (kind, code) = (reader.u16()?, reader.u16()?);
        let unknown = if version == Version::V1_0 && kind == NX_VENDOR_ERROR {
            UnknownError { vendor: reader.u32()?, kind: reader.u16()?, code: reader.u16()? }
        } else if version > Version::V1_0 && kind == EXPERIMENTER {
            UnknownError { vendor: reader.u32()?, kind: code, code: 0 }
        } else {
            UnknownError { vendor: 0, kind, code }
        };
        let wire = match unknown.vendor {
            0 => Of(unknown.kind, unknown.code),
            NICIRA => Nx(unknown.kind, unknown.code),
            ONF => Onf(unknown.kind),
            _ => No,
        };
        let known = ErrorCode::ALL.iter().copied().find(|code| wire != No && code.wire(version) == wire);
        Ok(Self { code: known.ok_or(unknown), data: reader.take_all().to_vec() })
    }
}
