use redis::Cmd;

/// Commands encoded for the socket, one after another (RESP2 arrays of bulk strings). It has no `Debug`, because
/// a command may contain a password.
#[derive(Default)]
pub struct Commands {
    packed: Vec<u8>,
    count: usize,
}

/// A buffer that grew beyond this is freed. The limit is above a pipeline of bodies of 64 KB: to allocate its memory
/// again each time would cost more than to copy the bodies.
const KEPT: usize = 8 << 20;

/// The most bytes in one pipeline; only a single command may exceed it. A network of 100 Mbit/s carries this well
/// within the response timeout. A pipeline that times out is sent again from its start.
pub(crate) const LARGEST_PIPELINE: usize = 4 << 20;

/// `*NN\r\n`: the head of a command with 10 to 99 arguments, as nearly all commands here have.
const USUAL_HEAD: usize = 5;

impl Commands {
    /// Encodes a command; `write` writes its name and its arguments.
    pub fn command(&mut self, write: impl FnOnce(&mut Arguments<'_>)) {
        let start = self.packed.len();
        self.packed.extend_from_slice(&[0; USUAL_HEAD]);
        let mut arguments = Arguments { packed: &mut self.packed, count: 0 };
        write(&mut arguments);
        let count = arguments.count;
        match count {
            10..=99 => {
                let (tens, ones) = (b'0' + (count / 10) as u8, b'0' + (count % 10) as u8);
                self.packed[start..start + USUAL_HEAD].copy_from_slice(&[b'*', tens, ones, b'\r', b'\n']);
            }
            _ => {
                let head = format!("*{count}\r\n");
                self.packed.splice(start..start + USUAL_HEAD, head.into_bytes());
            }
        }
        self.count += 1;
    }

    /// Encodes a command, unless the pipeline would exceed [`LARGEST_PIPELINE`]; true if it was encoded. The
    /// first command always is.
    pub(crate) fn command_if_it_fits(&mut self, write: impl FnOnce(&mut Arguments<'_>)) -> bool {
        let (length, count) = (self.packed.len(), self.count);
        self.command(write);
        let fits = count == 0 || self.packed.len() <= LARGEST_PIPELINE;
        if !fits {
            self.packed.truncate(length);
            self.count = count;
        }
        fits
    }

    /// Encodes a command of the client library.
    pub fn add(&mut self, cmd: &Cmd) {
        cmd.write_packed_command(&mut self.packed);
        self.count += 1;
    }

    /// The number of commands, which is also the number of their answers.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Removes all commands.
    pub fn clear(&mut self) {
        self.count = 0;
        self.packed.clear();
        if self.packed.capacity() > KEPT {
            self.packed = Vec::new();
        }
    }

    /// The bytes for the socket.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }
}

/// Takes the name and the arguments of one command.
pub struct Arguments<'a> {
    packed: &'a mut Vec<u8>,
    count: usize,
}

impl Arguments<'_> {
    /// Appends the name or an argument.
    pub fn arg(&mut self, argument: &[u8]) -> &mut Self {
        self.count += 1;
        // "$", up to 20 digits and two line ends.
        self.packed.reserve(argument.len() + 25);
        push_length(self.packed, argument.len());
        self.packed.extend_from_slice(argument);
        self.packed.extend_from_slice(b"\r\n");
        self
    }
}

/// Writes `$<length>\r\n`. Nearly all lengths have one or two digits; these are written without a loop.
fn push_length(out: &mut Vec<u8>, length: usize) {
    let digit = |number: usize| b'0' + (number % 10) as u8;
    match length {
        0..10 => out.extend_from_slice(&[b'$', digit(length), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[b'$', digit(length / 10), digit(length), b'\r', b'\n']),
        _ => {
            out.push(b'$');
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_command_may_exceed_the_largest_pipeline() {
        let large = vec![0; LARGEST_PIPELINE];
        let pack = |commands: &mut Commands, argument: &[u8]| {
            commands.command_if_it_fits(|args| {
                args.arg(argument);
            })
        };

        let mut alone = Commands::default();
        assert!(pack(&mut alone, &large));
        assert!(!pack(&mut alone, b"PING"));
        assert_eq!(alone.len(), 1);

        let mut several = Commands::default();
        let fitted = [&b"PING"[..], &large[..1 << 20], &large, b"PING"].map(|arg| pack(&mut several, arg));
        assert_eq!(fitted, [true, true, false, true]);
        assert!(several.packed().starts_with(b"*1\r\n$4\r\nPING\r\n*1\r\n$1048576\r\n"));
        assert!(several.packed().ends_with(b"\0\r\n*1\r\n$4\r\nPING\r\n"));
        assert_eq!(several.len(), 3);
    }

    #[test]
    fn commands_are_encoded_as_by_the_client_library() {
        for arguments in [0, 1, 8, 9, 10, 98, 99, 150] {
            let values: Vec<String> = (0..arguments).map(|n| "x".repeat(n * n)).collect();
            let mut expected = redis::cmd("XADD");
            let mut ours = Commands::default();
            ours.command(|args| {
                args.arg(b"XADD");
                for value in &values {
                    args.arg(value.as_bytes());
                    expected.arg(value);
                }
            });
            assert_eq!(ours.packed(), expected.get_packed_command(), "{arguments} arguments");

            ours.add(&expected);
            assert_eq!(ours.len(), 2);
            assert_eq!(ours.packed().len(), 2 * expected.get_packed_command().len());
        }
    }
}
