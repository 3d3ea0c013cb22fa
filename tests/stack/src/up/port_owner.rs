//! Who listens on a port, where the system tells.

use std::fs;
use std::process::Command;

/// The process that listens on a port of this machine.
pub(crate) fn owner(port: u16) -> Option<u32> {
    from_proc(port).or_else(|| from_lsof(port))
}

/// `name (process 123)`.
pub(crate) fn describe(pid: Option<u32>) -> String {
    let Some(pid) = pid else { return "another program".to_owned() };
    let name = output("ps", &["-o", "comm=", "-p", &pid.to_string()]).unwrap_or_default();
    let name = Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("a program");
    format!("{name} (process {pid})")
}

/// Linux: a listening socket's inode is in /proc/net/tcp, its owner's in /proc/PID/fd.
fn from_proc(port: u16) -> Option<u32> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inodes: Vec<_> =
        tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(|line| inode(line, port)).collect();
    if inodes.is_empty() {
        return None;
    }
    let processes =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // What cannot be read is another user's process, or one that has just ended.
    let holds = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|link| link.to_str().is_some_and(|link| inodes.iter().any(|inode| inode == link)))
    };
    processes.into_iter().find(holds)
}

/// The socket of a line of /proc/net/tcp, if it listens (0A) on `port`.
fn inode(line: &str, port: u16) -> Option<String> {
    let columns: Vec<_> = line.split_whitespace().collect();
    let (_, at) = columns.get(1)?.rsplit_once(':')?;
    let listens = *columns.get(3)? == "0A" && u16::from_str_radix(at, 16) == Ok(port);
    listens.then(|| format!("socket:[{}]", columns.get(9).unwrap_or(&"")))
}

fn from_lsof(port: u16) -> Option<u32> {
    let pids = output("lsof", &["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-t"])?;
    pids.lines().next()?.trim().parse().ok()
}

/// What a program of the system prints; nothing without it.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let asked = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&asked.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_a_socket_that_listens_on_the_port_counts() {
        let line = |state: &str| format!("0: 0100007F:1391 00000000:0000 {state} 0:0 00:0 0 1000 0 42 1");

        assert_eq!(inode(&line("0A"), 5009).as_deref(), Some("socket:[42]"));
        assert_eq!(inode(&line("01"), 5009), None);
        assert_eq!(inode(&line("0A"), 5010), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");

        assert_eq!(owner(listener.local_addr().expect("bound").port()), Some(std::process::id()));
    }
}
