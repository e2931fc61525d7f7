//! The Parquet field id of every column of every family, which identifies a column in a table format.
//!
//! - A column's id never changes. A removed column keeps its line; its id is never reused.
//! - A new column gets the next number, wherever its position is.
//! - Columns of several families with the same name and form have the same id, so that families fit into one table.

use super::plan::Form;

/// Each column of a file with its id.
const FIELDS: &[(i32, &str, Form)] = {
    use Form::{Binary, Hash, Int, Micros, Nanos, Port, Text};
    &[
        (1, "index", Int),
        (2, "actor_device_addresses", Text),
        (3, "actor_device_id", Text),
        (4, "actor_device_name", Text),
        (5, "actor_device_os", Text),
        (6, "actor_device_tags", Text),
        (7, "actor_groups", Text),
        (8, "actor_id", Text),
        (9, "actor_login", Text),
        (10, "actor_name", Text),
        (11, "actor_service", Text),
        (12, "actor_tags", Text),
        (13, "id_source", Text),
        (14, "id_epoch", Int),
        (15, "id_sequence", Int),
        (16, "identity_as_of", Micros),
        (17, "identity_as_of_ns", Nanos),
        (18, "identity_claimed_login", Text),
        (19, "identity_claimed_node", Text),
        (20, "identity_claimed_node_id", Text),
        (21, "identity_claimed_tags", Text),
        (22, "identity_provider", Text),
        (23, "identity_reason", Text),
        (24, "identity_status", Text),
        (25, "kind", Text),
        (26, "outcome", Text),
        (27, "received", Micros),
        (28, "received_ns", Nanos),
        (29, "session", Text),
        (30, "target_account", Text),
        (31, "target_address", Text),
        (32, "target_address_port", Port),
        (33, "target_container", Text),
        (34, "target_device_addresses", Text),
        (35, "target_device_id", Text),
        (36, "target_device_name", Text),
        (37, "target_device_os", Text),
        (38, "target_device_tags", Text),
        (39, "target_id", Text),
        (40, "target_name", Text),
        (41, "target_namespace", Text),
        (42, "target_person_groups", Text),
        (43, "target_person_id", Text),
        (44, "target_person_login", Text),
        (45, "target_person_name", Text),
        (46, "target_type", Text),
        (47, "time", Micros),
        (48, "time_ns", Nanos),
        (49, "rest", Text),
        (50, "raw", Binary),
        (51, "anomalies", Text),
        (52, "bytes", Int),
        (53, "command", Text),
        (54, "connection", Text),
        (55, "ended", Micros),
        (56, "ended_ns", Nanos),
        (57, "height", Int),
        (58, "imported_from", Text),
        (59, "marks", Int),
        (60, "not_seen", Text),
        (61, "peer", Text),
        (62, "peer_port", Port),
        (63, "protocol", Text),
        (64, "reason", Text),
        (65, "recorded_by", Text),
        (66, "requested_user", Text),
        (67, "sha256", Hash),
        (68, "started", Micros),
        (69, "started_ns", Nanos),
        (70, "started_event_source", Text),
        (71, "started_event_epoch", Int),
        (72, "started_event_sequence", Int),
        (73, "terminal", Text),
        (74, "width", Int),
        (75, "method", Text),
        (76, "pid", Int),
        (77, "service", Text),
        (78, "api_group", Text),
        (79, "api_version", Text),
        (80, "body", Text),
        (81, "body_bytes", Int),
        (82, "body_sha256", Hash),
        (83, "latency", Int),
        (84, "path", Text),
        (85, "query", Text),
        (86, "resource", Text),
        (87, "status", Int),
        (88, "subresource", Text),
        (89, "user_agent", Text),
        (90, "verb", Text),
        (91, "dst", Text),
        (92, "dst_port", Port),
        (93, "dst_node", Text),
        (94, "end", Micros),
        (95, "end_ns", Nanos),
        (96, "layer", Text),
        (97, "logged", Micros),
        (98, "logged_ns", Nanos),
        (99, "proc_id", Int),
        (100, "proc_seq", Int),
        (101, "proto", Int),
        (102, "record", Text),
        (103, "reporter", Text),
        (104, "rx_bytes", Int),
        (105, "rx_packets", Int),
        (106, "src", Text),
        (107, "src_port", Port),
        (108, "src_node", Text),
        (109, "start", Micros),
        (110, "start_ns", Nanos),
        (111, "tx_bytes", Int),
        (112, "tx_packets", Int),
        (113, "action", Text),
        (114, "diff", Text),
        (115, "digest", Hash),
        (116, "error", Text),
        (117, "lines", Text),
        (118, "new", Text),
        (119, "not_before", Micros),
        (120, "not_before_ns", Nanos),
        (121, "old", Text),
        (122, "operation", Text),
        (123, "origin", Text),
        (124, "part", Int),
        (125, "parts", Int),
        (126, "property", Text),
        (127, "refers_to_source", Text),
        (128, "refers_to_epoch", Int),
        (129, "refers_to_sequence", Int),
        (130, "summary", Text),
        (131, "via", Text),
        (132, "collection", Text),
        (133, "fields", Text),
        (134, "text", Text),
        (135, "verbosity", Int),
        (136, "attempts", Int),
        (137, "count", Int),
        (138, "destination", Text),
        (139, "events", Text),
        (140, "finding_source", Text),
        (141, "finding_epoch", Int),
        (142, "finding_sequence", Int),
        (143, "first", Int),
        (144, "last", Int),
        (145, "rule", Text),
        (146, "severity", Text),
        (147, "status", Text),
        (148, "title", Text),
        (149, "address", Text),
        (150, "address_port", Port),
        (151, "message", Text),
        (152, "role", Text),
        (153, "source", Text),
        (154, "what", Text),
        (155, "detail", Text),
        (156, "index_sha256", Hash),
        (157, "likely_groups", Text),
        (158, "likely_id", Text),
        (159, "likely_login", Text),
        (160, "likely_name", Text),
        (161, "likely_reason", Text),
        (162, "leaf_version", Int),
        (163, "repaired", Text),
        (164, "repeat_of_source", Text),
        (165, "repeat_of_epoch", Int),
        (166, "repeat_of_sequence", Int),
        (167, "target_cluster", Text),
        (168, "time_unread", Text),
        (169, "argv", Text),
        (170, "boot", Text),
        (171, "exit_signal", Text),
        (172, "exit_status", Int),
        (173, "image", Text),
        (174, "ses", Int),
        (175, "attested_by", Text),
        (176, "check_confirmed", Micros),
        (177, "check_confirmed_ns", Nanos),
        (178, "cwd", Text),
        (179, "from_account", Text),
        (180, "gid", Int),
        (181, "key_fingerprint", Text),
        (182, "uid", Int),
        (183, "would_deny", Text),
        (184, "argv_bytes", Int),
        (185, "executable", Text),
        (186, "parent_pid", Int),
        (187, "unit", Text),
        (188, "bind", Text),
        (189, "bind_port", Port),
        (190, "came_as", Text),
        (191, "direction", Text),
        (192, "size", Int),
        (193, "start_offset", Int),
        (194, "since", Micros),
        (195, "since_ns", Nanos),
        (196, "until", Micros),
        (197, "until_ns", Nanos),
        (198, "audit_id", Text),
        (199, "body_fingerprint", Text),
        (200, "diff_base", Text),
        (201, "dry_run", Text),
        (202, "durable", Text),
        (203, "fingerprints", Text),
        (204, "object_uid", Text),
        (205, "objects", Text),
        (206, "resource_version", Text),
        (207, "connections", Int),
        (208, "dst_ports", Text),
        (209, "end_reason", Text),
        (210, "first_seq", Int),
        (211, "last_seq", Int),
        (212, "local_user", Text),
        (213, "opener", Text),
        (214, "process", Text),
        (215, "rx_payload_bytes", Int),
        (216, "rx_segments", Int),
        (217, "tx_payload_bytes", Int),
        (218, "tx_segments", Int),
        (219, "unattributed", Text),
        (220, "first_time", Micros),
        (221, "first_time_ns", Nanos),
        (222, "key", Text),
        (223, "last_time", Micros),
        (224, "last_time_ns", Nanos),
        (225, "subject_id", Text),
        (226, "subject_type", Text),
        (227, "counts", Text),
        (228, "day", Text),
        (229, "definition", Text),
        (230, "expires", Micros),
        (231, "expires_ns", Nanos),
        (232, "owner", Text),
        (233, "replaces_source", Text),
        (234, "replaces_epoch", Int),
        (235, "replaces_sequence", Int),
        (236, "scope", Text),
    ]
};

/// The id of the column of this name and form.
pub(super) fn id(name: &str, form: Form) -> Option<i32> {
    FIELDS.iter().find(|field| field.1 == name && field.2 == form).map(|field| field.0)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use meshtrail_event::Family;
    use parquet::basic::{LogicalType, TimeUnit};
    use parquet::schema::types::Type;

    use super::*;
    use crate::segment::plan::{Format, Plan};

    const GOLDEN: &str = include_str!("../../tests/golden/field-ids.txt");

    /// A column's line in the golden file.
    fn line(field: &Type) -> String {
        let info = field.get_basic_info();
        let length = match field {
            Type::PrimitiveType { type_length, .. } if *type_length > 0 => format!("({type_length})"),
            _ => String::new(),
        };
        let logical = match info.logical_type_ref() {
            None => String::new(),
            Some(LogicalType::String) => " STRING".to_owned(),
            Some(LogicalType::Timestamp(of)) if of.is_adjusted_to_u_t_c && of.unit == TimeUnit::MICROS => {
                " TIMESTAMP(MICROS, UTC)".to_owned()
            }
            Some(other) => panic!("{other:?} is no form of ours"),
        };
        format!("{} {} {}{length}{logical}", info.id(), field.name(), field.get_physical_type())
    }

    #[test]
    fn no_column_ever_changes_its_id_or_its_type() {
        let mut written = BTreeMap::new();
        for family in Family::ALL {
            for field in Plan::of(Format::NEWEST, family).schema.root_schema().get_fields() {
                written.insert(field.get_basic_info().id(), line(field));
            }
        }
        let golden: BTreeMap<i32, String> = GOLDEN
            .lines()
            .map(|line| (line.split(' ').next().unwrap().parse().unwrap(), line.to_owned()))
            .collect();
        for (id, line) in &written {
            assert_eq!(
                golden.get(id),
                Some(line),
                "a new column takes a number that was never used, and a new line in tests/golden/field-ids.txt"
            );
        }
        // A removed column still has its line in both.
        for (id, line) in golden {
            let known = FIELDS.iter().find(|field| field.0 == id).map(|field| field.1);
            assert_eq!(known, line.split(' ').nth(1), "{line}");
        }
    }

    #[test]
    fn an_id_is_of_one_column() {
        let ids: HashSet<_> = FIELDS.iter().map(|field| field.0).collect();
        let columns: HashSet<_> = FIELDS.iter().map(|field| (field.1, field.2)).collect();
        assert_eq!((ids.len(), columns.len()), (FIELDS.len(), FIELDS.len()));
    }
}
