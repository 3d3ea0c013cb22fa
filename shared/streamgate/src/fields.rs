//! The payload of a stream entry: names and values in order, as Redis stores them.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

/// Ordered field names and values of one stream entry, all in one piece of memory.
///
/// Redis allows a name to appear twice; [`Fields::get`] returns the value of the first.
#[derive(Clone, Default)]
pub struct Fields {
    memory: Bytes,
    /// Places in `memory`: of a name, of its value, of the next name, and so on.
    strings: Vec<Range<usize>>,
}

impl Fields {
    /// Fields whose names and values alternate in `strings`. A last name without a value is left out.
    pub(crate) fn in_memory(memory: Bytes, strings: Vec<Range<usize>>) -> Self {
        Self { memory, strings }
    }

    /// The value of the first field called `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| value)
    }

    /// The value of the first field called `name`, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The value of the first field of each of these names. Fast if the fields come in the order of `names`.
    pub(crate) fn pick<const N: usize>(&self, names: [&str; N]) -> [Option<&[u8]>; N] {
        self.pick_in(0..self.len(), names)
    }

    /// As [`Fields::pick`], but only among the fields at the positions in `part`.
    pub(crate) fn pick_in<const N: usize>(&self, part: Range<usize>, names: [&str; N]) -> [Option<&[u8]>; N] {
        let (mut values, mut expected) = ([None; N], 0);
        for (name, value) in self.iter_in(part) {
            let is_called = |at: &usize| names[*at].as_bytes() == name;
            if let Some(at) = (expected..N).chain(0..expected).find(is_called) {
                values[at].get_or_insert(value);
                expected = at + 1;
            }
        }
        values
    }

    /// Shares a value that a method of this object returned, so that it can be kept without a copy.
    pub(crate) fn share(&self, value: &[u8]) -> Bytes {
        self.memory.slice_ref(value)
    }

    /// All names and values in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter_in(0..self.len())
    }

    fn iter_in(&self, part: Range<usize>) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (pairs, _) = self.strings.as_chunks::<2>();
        pairs[part].iter().map(|[name, value]| (&self.memory[name.clone()], &self.memory[value.clone()]))
    }

    /// The positions of the fields called `name`.
    pub(crate) fn positions(&self, name: &str) -> impl Iterator<Item = usize> {
        self.iter().enumerate().filter(move |(_, (n, _))| *n == name.as_bytes()).map(|(at, _)| at)
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.strings.len() / 2
    }

    /// True if there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all names and values together, without the server's own overhead.
    pub fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The first `count` fields, and those after them. Nothing is copied.
    pub(crate) fn split_at(mut self, count: usize) -> (Self, Self) {
        let rest = self.strings.split_off((count * 2).min(self.strings.len()));
        let rest = Self { memory: self.memory.clone(), strings: rest };
        (self, rest)
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        f.debug_list().entries(self.iter().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let (mut memory, mut strings) = (Vec::new(), Vec::new());
        let mut append = |string: &[u8]| {
            let start = memory.len();
            memory.extend_from_slice(string);
            strings.push(start..memory.len());
        };
        for (name, value) in pairs {
            append(name.as_ref());
            append(value.as_ref());
        }
        Self { memory: memory.into_boxed_slice().into(), strings }
    }
}

/// Parses a number in a field or in an entry's id: decimal digits and nothing else.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields::from_iter([("id", "1"), ("body", "first"), ("extra", ""), ("body", "second")])
    }

    #[test]
    fn fields_are_found_in_any_order_and_the_first_of_two_counts() {
        let fields = fields();

        assert_eq!((fields.get("body"), fields.get("absent")), (Some(&b"first"[..]), None));
        let [id, absent, body] = fields.pick(["id", "absent", "body"]);
        assert_eq!((id, absent, body), (Some(&b"1"[..]), None, Some(&b"first"[..])));
        assert_eq!(fields.pick(["extra", "body", "id"]), [Some(&b""[..]), Some(b"first"), Some(b"1")]);
    }

    #[test]
    fn equal_fields_may_have_different_places_in_memory() {
        let memory = Bytes::from_static(b"__first.id.1.body_extra_second");
        let strings = vec![8..10, 11..12, 13..17, 2..7, 18..23, 0..0, 13..17, 24..30, 0..1];

        let same = Fields::in_memory(memory, strings);

        assert_eq!(same, fields());
        assert_eq!((same.len(), same.size()), (4, fields().size()));
        assert_eq!(same.share(same.get("body").expect("there")), "first");
        assert_eq!(same.share(same.get("extra").expect("there")), "");
    }

    #[test]
    fn fields_can_be_split_anywhere() {
        let (first, rest) = fields().split_at(1);
        assert_eq!(first, Fields::from_iter([("id", "1")]));
        assert_eq!((rest.len(), rest.text("body")), (3, Some("first")));

        let (all, none) = fields().split_at(9);
        assert_eq!((all, none), (fields(), Fields::default()));
    }

    #[test]
    fn a_number_has_digits_only() {
        assert_eq!(number(b"007"), Some(7));
        assert_eq!(number(u64::MAX.to_string().as_bytes()), Some(u64::MAX));
        for text in ["", "+1", "-1", " 1", "1.0", "18446744073709551616"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }
}
