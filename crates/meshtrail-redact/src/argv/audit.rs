//! Values of the kernel's audit stream: text in quotes, or hex where a byte is no plain letter.

/// The bytes of a value as the kernel writes them: `"text"`, hex digits, or `(null)`.
///
/// Facts: `audit_log_untrustedstring` of Linux writes a string with a blank, a quote, a control character or a byte over
/// 0x7e as upper-case hex without quotes, any other in double quotes.
pub(crate) fn decode_value(value: &str) -> Vec<u8> {
    if let Some(text) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return text.as_bytes().to_vec();
    }
    match hex::decode(value) {
        Ok(bytes) if !bytes.is_empty() => bytes,
        _ => value.as_bytes().to_vec(),
    }
}

/// The arguments in a PROCTITLE record: a process's arguments with a zero byte behind each, of which the kernel keeps the
/// first 128 bytes.
pub(crate) fn split_title(value: &str) -> Vec<Vec<u8>> {
    let bytes = decode_value(value);
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}
