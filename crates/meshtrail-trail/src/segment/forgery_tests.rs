//! Tests with forged pages: valid checksums over invalid contents.

use std::sync::Arc;

use proptest::prelude::*;

use super::outline::{self, Outline, slice};
use super::page::PageReader;
use super::plan::{Form, Format, Plan};
use super::tests::{borrow, flows};
use super::thrift::{PageHeader, PageKind};
use super::{MAX_PAGE_ROWS, encode};

/// Changes the body of a page and makes its checksum fit again.
fn forge(page: &[u8], changes: &[(prop::sample::Index, u8)], compressed: Option<bool>) -> Vec<u8> {
    let (mut header, start) = PageHeader::read(page).unwrap();
    let mut body = page[start..].to_vec();
    for (place, byte) in changes {
        if !body.is_empty() {
            let place = place.index(body.len());
            body[place] = *byte;
        }
    }
    if let (PageKind::Data { is_compressed, .. }, Some(wanted)) = (&mut header.kind, compressed) {
        *is_compressed = wanted;
    }
    header.crc = crc32fast::hash(&body);
    let mut forged = Vec::new();
    header.write(&mut forged);
    forged.extend_from_slice(&body);
    forged
}

fn read(page: &[u8], form: Form, rows: usize) {
    PageReader::with(|reader| {
        let known: Vec<Arc<_>> = reader.dictionary(page, form).map(Arc::new).into_iter().collect();
        let _read = reader.column(page, form, false, known.first(), rows);
        let _read = reader.flat(page, known.first(), rows, rows);
    })
    .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_forged_page_is_an_error_or_other_values_but_no_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        compressed in prop::option::of(any::<bool>()),
    ) {
        let rows = flows(300);
        let file = encode(meshtrail_event::Family::Flow, "main", &borrow(&rows)).unwrap().bytes;
        let outline = Outline::read_whole(&"forged".into(), &file).unwrap();
        let plan = Plan::of(Format::NEWEST, meshtrail_event::Family::Flow);
        let parts = outline.parts(0, 0..plan.columns.len());
        for part in &parts {
            let page = forge(slice(&file, &part.range).unwrap(), &changes, compressed);
            read(&page, plan.columns[part.column].form, 300);
            read(&page, Form::Text, MAX_PAGE_ROWS);
        }
        // The same within the file, so that leaves are joined from forged columns.
        let mut forged = file.clone();
        for part in &parts {
            let page = forge(slice(&file, &part.range).unwrap(), &changes[..1], None);
            if page.len() as u64 == part.range.end - part.range.start {
                forged[part.range.start as usize..part.range.end as usize].copy_from_slice(&page);
            }
        }
        if let Ok(page) = outline::whole_page(&outline, &forged, 0) {
            let mut joiner = page.joiner();
            for row in 0..page.rows() {
                let _joined = joiner.write(row, &mut Vec::new());
            }
        }
    }
}
