//! [`Repair`]: makes valid asciicast v2 of a received stream, for playback.
//!
//! - Times are finite and never decrease.
//! - Sizes are never zero. Kubernetes resizes, which are sent as rows × columns, become columns × rows.
//! - A second header, input, lines that can't be read, and a last line without a line feed are left out.
//! - Each repair is noted in [`Anomalies`], which readers are shown.

use std::borrow::Cow;

use super::{
    Anomalies, AnomalyKind, CastLine, Code, Header, LineError, LineSplitter, MAX_LINE, Size, Split,
    parse_line,
};

/// One playable piece of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece<'a> {
    /// The header: the first piece, and the only header. A default one if the stream has none.
    Header(&'a Header),
    /// An event and the offset of its line in the received bytes.
    Event {
        /// Offset of the first byte of the line.
        offset: u64,
        /// The repaired line.
        line: CastLine<'a>,
    },
}

/// Repairs received bytes piece by piece. Never fails.
#[derive(Debug)]
pub struct Repair {
    splitter: LineSplitter,
    header: Option<Header>,
    anomalies: Anomalies,
    lines: u64,
    time: f64,
    size: Size,
}

impl Default for Repair {
    fn default() -> Self {
        Self {
            splitter: LineSplitter::new(MAX_LINE),
            header: None,
            anomalies: Anomalies::default(),
            lines: 0,
            time: 0.0,
            size: Size::DEFAULT,
        }
    }
}

impl Repair {
    /// Continues in the middle of a recording: at `offset`, which is the start of a line, and at `time` seconds.
    pub fn resumed(header: Header, offset: u64, time: f64, size: Size) -> Self {
        Self {
            splitter: LineSplitter::starting_at(offset, MAX_LINE),
            header: Some(header),
            lines: 1,
            time,
            size,
            ..Self::default()
        }
    }

    /// Adds received bytes, and passes each completed piece to `on_piece`.
    pub fn push(&mut self, bytes: &[u8], mut on_piece: impl FnMut(Piece<'_>)) {
        let Self { splitter, header, anomalies, lines, time, size } = self;
        splitter.push(bytes, |offset, split| {
            *lines += 1;
            let mut reader = Reader { header, anomalies, line_number: *lines, time, size };
            reader.read(offset, split, &mut on_piece);
        });
    }

    /// Ends the stream. A last line without a line feed is noted and left out.
    pub fn finish(&mut self) {
        if self.splitter.unfinished() > 0 {
            let length = self.splitter.unfinished();
            self.anomalies.note(AnomalyKind::Truncated, self.lines + 1, || {
                format!("line: {length} bytes without an end")
            });
        }
        if self.header.is_none() {
            self.anomalies.note(AnomalyKind::NoHeader, 1, || "header: missing".into());
        }
    }

    /// The repairs so far.
    pub fn anomalies(&self) -> &Anomalies {
        &self.anomalies
    }

    /// The header, once its line was read.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The time of the last event, in seconds.
    pub fn time(&self) -> f64 {
        self.time
    }

    /// The terminal's size now.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The number of lines so far, including the header.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The offset of the start of the unfinished line.
    pub fn line_start(&self) -> u64 {
        self.splitter.line_start()
    }
}

/// Repairs one line.
struct Reader<'a> {
    header: &'a mut Option<Header>,
    anomalies: &'a mut Anomalies,
    line_number: u64,
    time: &'a mut f64,
    size: &'a mut Size,
}

impl Reader<'_> {
    fn read(&mut self, offset: u64, split: Split<'_>, on_piece: &mut impl FnMut(Piece<'_>)) {
        let Split::Line(line) = split else {
            let Split::TooLong { length } = split else { return };
            self.note(AnomalyKind::LongLine, || {
                format!("line: {length} bytes, at most {MAX_LINE} are played")
            });
            self.ensure_header(on_piece);
            return;
        };
        if self.header.is_none() {
            return self.first_line(offset, line, on_piece);
        }
        match parse_line(line) {
            Ok(event) => self.event(offset, event, on_piece),
            Err(LineError::Object) => {
                self.note(AnomalyKind::SecondHeader, || "line: a second header".into());
            }
            Err(error) if line.trim_ascii().is_empty() => drop(error),
            Err(error) => self.note(AnomalyKind::BadLine, || error.to_string()),
        }
    }

    fn first_line(&mut self, offset: u64, line: &[u8], on_piece: &mut impl FnMut(Piece<'_>)) {
        match Header::parse(line, self.anomalies) {
            Ok(header) => {
                self.note_size(&header);
                *self.size = header.size();
                on_piece(Piece::Header(self.header.insert(header)));
            }
            Err(error) => {
                self.note(AnomalyKind::NoHeader, || error.to_string());
                self.ensure_header(on_piece);
                // A stream without a header starts with an event.
                if let Ok(event) = parse_line(line) {
                    self.event(offset, event, on_piece);
                }
            }
        }
    }

    fn ensure_header(&mut self, on_piece: &mut impl FnMut(Piece<'_>)) {
        if self.header.is_none() {
            on_piece(Piece::Header(self.header.insert(Header::default())));
        }
    }

    fn note_size(&mut self, header: &Header) {
        let size = header.size();
        if (header.width, header.height) != (u64::from(size.cols), u64::from(size.rows)) {
            self.note(AnomalyKind::Size, || {
                let Size { cols, rows } = size;
                format!("header: {}x{} played as {cols}x{rows}", header.width, header.height)
            });
        }
    }

    fn event(&mut self, offset: u64, mut line: CastLine<'_>, on_piece: &mut impl FnMut(Piece<'_>)) {
        if line.replaced {
            self.note(AnomalyKind::NotUtf8, || "line.data: bytes that are not UTF-8".into());
        }
        self.clamp_time(&mut line);
        match line.code {
            Code::Input => return self.note(AnomalyKind::Input, || "line.code: input is never shown".into()),
            Code::Resize => match self.resize(&line.data) {
                Some(data) => line.data = Cow::Owned(data),
                None => {
                    return self.note(AnomalyKind::BadLine, || {
                        format!(
                            "line.data: expected COLSxROWS, found {:?}",
                            line.data.chars().take(20).collect::<String>()
                        )
                    });
                }
            },
            Code::Output | Code::Marker | Code::Other(_) => {}
        }
        on_piece(Piece::Event { offset, line });
    }

    fn clamp_time(&mut self, line: &mut CastLine<'_>) {
        if line.time.is_nan() {
            self.note(AnomalyKind::TimeNotANumber, || "line.time: not a finite number".into());
            line.time = *self.time;
        } else if line.time < *self.time {
            let (before, now) = (*self.time, line.time);
            self.note(AnomalyKind::TimeWentBack, || format!("line.time: {now} after {before}"));
            line.time = *self.time;
        }
        *self.time = line.time;
    }

    fn resize(&mut self, data: &str) -> Option<String> {
        let (first, second) = data.split_once('x')?;
        let (first, second) = (first.trim().parse::<u64>().ok()?, second.trim().parse::<u64>().ok()?);
        let swapped = self.header.as_ref().is_some_and(|header| header.kubernetes.is_some());
        if swapped {
            self.note(AnomalyKind::SwappedResize, || {
                format!("line.data: {first}x{second} is rows x columns")
            });
        }
        let (cols, rows) = if swapped { (second, first) } else { (first, second) };
        let size = Size::playable(cols, rows);
        if (u64::from(size.cols), u64::from(size.rows)) != (cols, rows) {
            self.note(AnomalyKind::Size, || format!("line.data: {cols}x{rows}"));
        }
        *self.size = size;
        Some(format!("{}x{}", size.cols, size.rows))
    }

    fn note(&mut self, kind: AnomalyKind, detail: impl FnOnce() -> String) {
        self.anomalies.note(kind, self.line_number, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(stream: &[u8]) -> (Vec<String>, Anomalies) {
        let mut repair = Repair::default();
        let mut lines = Vec::new();
        for chunk in stream.chunks(7) {
            repair.push(chunk, |piece| match piece {
                Piece::Header(header) => lines.push(header.to_playable()),
                Piece::Event { line, .. } => lines.push(line.to_playable()),
            });
        }
        repair.finish();
        (lines, repair.anomalies().clone())
    }

    fn kinds(anomalies: &Anomalies) -> Vec<(AnomalyKind, u64, u64)> {
        anomalies.iter().map(|anomaly| (anomaly.kind, anomaly.line, anomaly.count)).collect()
    }

    #[test]
    fn kubernetes_resizes_are_swapped_and_ssh_ones_are_not() {
        let kube = b"{\"version\":2,\"width\":80,\"height\":24,\"kubernetes\":{\"PodName\":\"p\"}}\n[1,\"r\",\"50x132\"]\n";
        assert_eq!(play(kube).0[1], r#"[1, "r", "132x50"]"#);
        let ssh = b"{\"version\":2,\"width\":80,\"height\":24}\n[1,\"r\",\"132x50\"]\n";
        assert_eq!(play(ssh).0[1], r#"[1, "r", "132x50"]"#);
    }

    #[test]
    fn what_a_stream_gets_wrong_is_mended_and_named() {
        let (lines, anomalies) = play(
            b"{\"version\":2,\"width\":0,\"height\":0}\n[1,\"o\",\"a\"]\n[0.5,\"o\",\"back\"]\n[NaN,\"o\",\"b\"]\n\
              {\"version\":2}\nnonsense\n[2,\"i\",\"secret\"]\n[3,\"o\",\"\xff\"]\n[4,\"o\",\"cut",
        );
        let expected = [
            r#"{"height":24,"version":2,"width":80}"#,
            r#"[1, "o", "a"]"#,
            r#"[1, "o", "back"]"#,
            r#"[1, "o", "b"]"#,
            "[3, \"o\", \"\u{fffd}\"]",
        ];
        assert_eq!(lines, expected);
        use AnomalyKind::{BadLine, Input, NotUtf8, SecondHeader, TimeNotANumber, TimeWentBack, Truncated};
        let expected = [
            (AnomalyKind::Size, 1, 1),
            (TimeWentBack, 3, 1),
            (TimeNotANumber, 4, 1),
            (SecondHeader, 5, 1),
            (BadLine, 6, 1),
            (Input, 7, 1),
            (NotUtf8, 8, 1),
            (Truncated, 9, 1),
        ];
        assert_eq!(kinds(&anomalies), expected);
    }

    #[test]
    fn a_stream_without_header_still_plays() {
        let (lines, anomalies) = play(b"[0,\"o\",\"x\"]\n");
        assert_eq!(lines.len(), 2);
        assert_eq!(kinds(&anomalies), [(AnomalyKind::NoHeader, 1, 1)]);
        assert_eq!(kinds(&play(b"").1), [(AnomalyKind::NoHeader, 1, 1)]);
    }

    #[test]
    fn a_million_resizes_are_counted_once() {
        let mut stream = b"{\"version\":2,\"width\":80,\"height\":24}\n".to_vec();
        for _ in 0..1_000_000 {
            stream.extend_from_slice(b"[1,\"r\",\"0x999999\"]\n");
        }
        let mut repair = Repair::default();
        repair.push(&stream, |_| {});
        assert_eq!(kinds(repair.anomalies()), [(AnomalyKind::Size, 2, 1_000_000)]);
        assert_eq!(repair.size(), Size { cols: 80, rows: 500 });
    }
}
