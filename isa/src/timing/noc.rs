//! The links of the mesh as shared resources.
//!
//! A message goes along its row first, then along its column (x before y), so that routes are fixed and a multicast is a tree.
//! Each directed link serves messages one at a time, in the order they are sent; a message occupies a link for
//! `ceil(bytes / link rate)` cycles, and its head reaches the next link `hop_cycles` after it entered the one before. A message
//! that waits at a link holds no other. Tokens take the same way with no bytes: they pass a link when it is free, and so
//! never overtake data on the same route.

use super::block_cycles;
use crate::chip::Chip;

/// Directions in which links leave a core.
const DIRECTIONS: usize = 4;

/// When a message was through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Cycle at which its last byte has left the sender.
    pub left: u64,
    /// Cycle at which its last byte has reached the receiver, the last one of a multicast.
    pub arrived: u64,
}

/// The links of a chip's mesh, each with the cycle at which it is free.
#[derive(Clone, Debug)]
pub struct Noc {
    columns: u32,
    rows: u32,
    hop: u64,
    rate: u64,
    /// By core and direction: east, west, south, north.
    free_at: Vec<u64>,
    /// Cycles that links were occupied, summed.
    busy: u64,
}

impl Noc {
    /// All links free at cycle 0.
    pub fn new(chip: &Chip) -> Noc {
        Noc {
            columns: chip.cores_x(),
            rows: chip.cores_y(),
            hop: chip.noc_hop_cycles(),
            rate: chip.noc_bytes_per_cycle(),
            free_at: vec![0; chip.cores() as usize * DIRECTIONS],
            busy: 0,
        }
    }

    /// Cycles that links were occupied, summed over all links.
    pub fn busy(&self) -> u64 {
        self.busy
    }

    /// Sends `bytes` from one core to another at cycle `now`. To itself a core sends through no link: it has arrived when it has
    /// left. Cores that do not exist count as the last one.
    pub fn send(&mut self, now: u64, from: u32, to: u32, bytes: u64) -> Sent {
        let last = (self.columns * self.rows).saturating_sub(1);
        let (from, to) = (from.min(last), to.min(last));
        let cycles = block_cycles(1, bytes, self.rate);
        let ((mut x, mut y), (to_x, to_y)) = (self.place(from), self.place(to));
        let (mut head, mut left) = (now, None);
        while (x, y) != (to_x, to_y) {
            let direction = match (x.cmp(&to_x), y < to_y) {
                (std::cmp::Ordering::Less, _) => 0,
                (std::cmp::Ordering::Greater, _) => 1,
                (std::cmp::Ordering::Equal, true) => 2,
                (std::cmp::Ordering::Equal, false) => 3,
            };
            let start = self.pass(x, y, direction, head, cycles);
            left.get_or_insert(start.saturating_add(cycles));
            head = start.saturating_add(self.hop);
            match direction {
                0 => x += 1,
                1 => x -= 1,
                2 => y += 1,
                _ => y -= 1,
            }
        }
        let left = left.unwrap_or(now.saturating_add(cycles));
        Sent {
            left,
            arrived: head.saturating_add(cycles),
        }
    }

    /// Sends `bytes` to all other cores at cycle `now`: along the sender's row in both directions, and from each core of the row
    /// along its column in both directions. Each link of this tree carries the bytes once.
    pub fn multicast(&mut self, now: u64, from: u32, bytes: u64) -> Sent {
        let last = (self.columns * self.rows).saturating_sub(1);
        let cycles = block_cycles(1, bytes, self.rate);
        let (x, y) = self.place(from.min(last));
        let mut sent = Sent {
            left: now.saturating_add(cycles),
            arrived: now.saturating_add(cycles),
        };
        let mut columns = vec![(x, now)];
        for (direction, steps) in [(0, self.columns - 1 - x), (1, x)] {
            let (mut at, mut head) = (x, now);
            for step in 0..steps {
                let start = self.pass(at, y, direction, head, cycles);
                head = start.saturating_add(self.hop);
                at = if direction == 0 { at + 1 } else { at - 1 };
                sent.arrived = sent.arrived.max(head.saturating_add(cycles));
                if step == 0 {
                    sent.left = sent.left.max(start.saturating_add(cycles));
                }
                columns.push((at, head));
            }
        }
        for (column, entered) in columns {
            for (direction, steps) in [(2, self.rows - 1 - y), (3, y)] {
                let (mut at, mut head) = (y, entered);
                for step in 0..steps {
                    let start = self.pass(column, at, direction, head, cycles);
                    head = start.saturating_add(self.hop);
                    at = if direction == 2 { at + 1 } else { at - 1 };
                    sent.arrived = sent.arrived.max(head.saturating_add(cycles));
                    if step == 0 && column == x {
                        sent.left = sent.left.max(start.saturating_add(cycles));
                    }
                }
            }
        }
        sent
    }

    fn place(&self, core: u32) -> (u32, u32) {
        (core % self.columns, core / self.columns)
    }

    /// Takes the link of core (`x`, `y`) in `direction` for `cycles`, no earlier than `head`; the cycle at which it begins.
    fn pass(&mut self, x: u32, y: u32, direction: usize, head: u64, cycles: u64) -> u64 {
        let link = (y * self.columns + x) as usize * DIRECTIONS + direction;
        let Some(free_at) = self.free_at.get_mut(link) else {
            return head;
        };
        let start = head.max(*free_at);
        if cycles > 0 {
            *free_at = start.saturating_add(cycles);
            self.busy = self.busy.saturating_add(cycles);
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 x 2 cores, links of 32 bytes per cycle, 4 cycles per hop.
    fn mesh() -> Noc {
        let mut chip = Chip::load("edge").unwrap();
        chip.set("chip.cores_x", 3).unwrap();
        Noc::new(&chip)
    }

    #[test]
    fn a_message_alone_takes_hops_and_bytes() {
        let mut noc = mesh();
        let sent = noc.send(100, 0, 5, 320);
        assert_eq!((sent.left, sent.arrived), (110, 100 + 3 * 4 + 10));
        // Three links for ten cycles each.
        assert_eq!(noc.busy(), 30);
        let own = noc.send(100, 3, 3, 64);
        assert_eq!((own.left, own.arrived), (102, 102));
    }

    #[test]
    fn messages_on_a_link_go_one_after_the_other() {
        let mut noc = mesh();
        noc.send(0, 0, 2, 320);
        // The same first link: it is free at 10.
        assert_eq!(noc.send(0, 0, 1, 320).left, 20);
        // The opposite direction, and the other row, are other links.
        assert_eq!(noc.send(0, 1, 0, 320).left, 10);
        assert_eq!(noc.send(0, 3, 4, 320).left, 10);
    }

    #[test]
    fn tokens_do_not_overtake_data() {
        let mut noc = mesh();
        let data = noc.send(0, 0, 5, 3200);
        let token = noc.send(data.left, 0, 5, 0);
        assert!(token.arrived >= data.arrived, "{token:?} {data:?}");
        // Without data in the way a token takes the hops alone.
        assert_eq!(mesh().send(7, 0, 5, 0).arrived, 7 + 3 * 4);
    }

    #[test]
    fn a_multicast_takes_each_link_once_and_the_way_of_messages() {
        let mut noc = mesh();
        let sent = noc.multicast(0, 4, 320);
        // Core 4 is the middle of the second row: five links for five receivers.
        assert_eq!((sent.left, sent.arrived, noc.busy()), (10, 2 * 4 + 10, 50));
        for to in [0, 1, 2, 3, 5] {
            assert!(noc.send(sent.left, 4, to, 0).arrived >= 10);
        }
        // A second one follows the first on every link.
        assert_eq!(noc.multicast(0, 4, 320).left, 20);
    }

    /// All cores to all cores: the dearest link carries what all cores on one side of it send.
    #[test]
    fn an_all_gather_is_bound_by_its_dearest_link() {
        let chip = Chip::load("ideal").unwrap();
        let mut noc = Noc::new(&chip);
        let sent: Vec<Sent> = (0..chip.cores())
            .map(|core| noc.multicast(0, core, 6400))
            .collect();
        let last = sent.iter().map(|s| s.arrived).max().unwrap_or(0);
        // 6400 bytes take 100 cycles; three rows of eight cores above the last row send 24 messages down each of its columns.
        assert!((2400..=3200 + 40).contains(&last), "{last}");
        assert_eq!(noc.busy(), 32 * 31 * 100);
    }
}
