//! What is kept of an API server's answers: names and reasons, and of messages only words that are not the request's.
//!
//! An error repeats what it complains about: whole fields, pieces of them, the first bytes in hex. So a message is not searched
//! for secrets but written from a list: words that API servers use, and names that the request itself has in its path.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::Value;

use crate::body::{BodyContext, NotKept, ObjectNames, read_answer};
use crate::redactor::Redactor;

/// The longest message that is read, in bytes.
const MAX_MESSAGE: usize = 16 << 10;

/// What stands for words that are left out.
const LEFT_OUT: &str = "…";

/// What is kept of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerFacts {
    /// Which object it has.
    pub names: ObjectNames,
    /// The names of the objects that a list has, at most [`MAX_ITEMS`].
    pub items: Vec<ObjectNames>,
    /// Items that the list has besides.
    pub items_left_out: usize,
    /// Of a `Status`: why, in a word, such as `BadRequest`.
    pub reason: Option<String>,
    /// Of a `Status`: the HTTP status.
    pub code: Option<u64>,
    /// Of a `Status`: the message, without what may be of the request.
    pub message: Option<String>,
}

/// How many items of a list are named.
pub const MAX_ITEMS: usize = 1000;

/// Words of API servers' messages: none of them comes from an object.
static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "a about above access account admission again all allowed already an and another any api apply are array as at attempt authentication \
        authorized bad base64 be because been before being below body bool boolean but by bytes call can cannot change changes client cluster \
        conflict conflicts container containers content contains controller converting could couldn't create created creating currently data deadline decode \
        decoding decoder deleted delete deleting denied deny deprecated did not does doesn't duplicate either empty encode encountered entity error errors etcdserver \
        evaluate evaluating exceeded exceeds exist exists expected expired failed failure field fields find for forbidden format found from get given group \
        handled handle has have having http i if illegal immutable in input insufficient int integer internal into invalid is it its json key kind label labels \
        larger latest lease leader limit list long looking lookup made malformed manager map mapping match matches maximum may media merge message metadata method minimum missing modified \
        more must name names namespace namespaced namespaces need no node non nor null number object objects occurred of on one only operation \
        or order other out parse parsing patch path permission please pod pods policy precondition prevented protobuf provided quota range rate reached reason received \
        recognized records refused reject rejected remove request requested requests required resource resources response retry roles same schema scope secret secrets server service \
        should size spec specified status still strict string strings subresource succeeding supported syntax system temporarily terminated terminating that the there this time timed timeout to \
        token too tried try type typed unable unauthorized unavailable unexpected unknown unmarshal unmarshaling unrecognized unsupported until update updated url use used user \
        valid validation value values verb verify version violates was watch webhook were when while with without would wrong yaml yet your"
        .split_ascii_whitespace()
        .collect()
});

impl Redactor {
    /// What is kept of an answer. The client gets it byte for byte; only names and reasons of it are written down.
    ///
    /// `names` are texts that the request has in its path or that stand in the event anyway: resource, namespace, object, user.
    /// A token's answer is [`NotKept::Credential`].
    pub fn answer(
        &self,
        context: &BodyContext<'_>,
        names: &[&str],
        bytes: &[u8],
    ) -> Result<AnswerFacts, NotKept> {
        let answer = read_answer(context, bytes);
        let is_status =
            answer.as_ref().is_ok_and(|answer| answer.get("kind").and_then(Value::as_str) == Some("Status"));
        // Whether it can be read or not.
        if !is_status && (context.resource, context.subresource) == ("serviceaccounts", "token") {
            return Err(NotKept::Credential);
        }
        let answer = answer?;
        if is_status {
            return Ok(self.status(&answer, names));
        }
        let empty = Vec::new();
        let items = answer.get("items").and_then(Value::as_array).unwrap_or(&empty);
        Ok(AnswerFacts {
            names: self.names(&answer),
            items: items.iter().take(MAX_ITEMS).map(|item| self.names(item)).collect(),
            items_left_out: items.len().saturating_sub(MAX_ITEMS),
            ..AnswerFacts::default()
        })
    }

    fn names(&self, object: &Value) -> ObjectNames {
        let mut names = ObjectNames::of(object);
        names.redact(self);
        names
    }

    fn status(&self, status: &Value, names: &[&str]) -> AnswerFacts {
        let text = |name: &str| status.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        // A reason is one word in the API; anything else is not one.
        let is_reason =
            |reason: &&str| reason.len() <= 64 && reason.bytes().all(|byte| byte.is_ascii_alphabetic());
        AnswerFacts {
            names: self.names(status),
            reason: text("reason").filter(is_reason).map(str::to_owned),
            code: status.get("code").and_then(Value::as_u64).filter(|code| *code < 1000),
            message: text("message").map(|message| self.message(message, names)),
            ..AnswerFacts::default()
        }
    }

    /// An API server's message with only the words that API servers use and these names; what stood between is `…`.
    pub fn message(&self, message: &str, names: &[&str]) -> String {
        let names: HashSet<&str> = names.iter().copied().filter(|name| !name.is_empty()).collect();
        let message = &message[..message.floor_char_boundary(MAX_MESSAGE)];
        let mut kept = Vec::new();
        for word in message.split_whitespace() {
            let bare = word.trim_matches(|letter: char| "\"'`.,:;()[]{}".contains(letter));
            let known = bare.is_empty() && word.len() <= 2
                || WORDS.contains(bare.to_ascii_lowercase().as_str())
                || names.contains(bare);
            match (known, kept.last()) {
                (true, _) => kept.push(word),
                (false, Some(&LEFT_OUT)) => {}
                (false, _) => kept.push(LEFT_OUT),
            }
        }
        self.text(&kept.join(" ")).text
    }
}
