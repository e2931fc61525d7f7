//! Server-sent events.

use meshtrail_event::RelativePosition;

/// The lines since the last blank line of a stream of server-sent events.
#[derive(Debug, Default)]
pub struct SseFrame {
    kind: String,
    data: Option<String>,
    id: Option<RelativePosition>,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The kind; empty for a plain message.
    pub kind: String,
    /// The data.
    pub data: String,
}

impl SseFrame {
    /// Adds one line, without its end; a blank line returns the event that it ends.
    pub fn push_line(&mut self, text: &str) -> Option<SseEvent> {
        if text.is_empty() {
            let kind = std::mem::take(&mut self.kind);
            return self.data.take().map(|data| SseEvent { kind, data });
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => self.data = Some(value.to_owned()),
            "id" => self.id = value.parse().ok(),
            _ => {}
        }
        None
    }

    /// The id of the last event that had one: its position in the trail.
    pub fn last_id(&self) -> Option<&RelativePosition> {
        self.id.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_whole_at_its_blank_line() {
        let mut frame = SseFrame::default();
        let lines = [
            "id: 7",
            "data: {\"a\":1}",
            "",
            ": still there",
            "",
            "event: at",
            "id: main:9",
            "data: main:9",
            "",
        ];
        let taken: Vec<_> = lines.iter().filter_map(|text| frame.push_line(text)).collect();
        let of = |kind: &str, data: &str| SseEvent { kind: kind.to_owned(), data: data.to_owned() };
        assert_eq!(taken, [of("", "{\"a\":1}"), of("at", "main:9")]);
        assert_eq!(frame.last_id().map(ToString::to_string).as_deref(), Some("main:9"));
    }
}
