//! A program flattened to steps, with what each op touches worked out as far as possible.

use crate::tile::{Expr, Extent, Mode, Op, Place, Program, Reach, Space, Stmt};
use llmc_isa::Queue;

/// One step of the flattened program.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// Begins a loop; the matching [`Step::Again`] is at `end`.
    Enter {
        var: usize,
        trip: &'a Expr,
        max_trip: u64,
        /// Its turns differ in DRAM addresses only.
        alike: bool,
        end: usize,
    },
    /// Ends a loop that begins at `start`.
    Again { start: usize },
    /// Sets a variable.
    Let { var: usize, value: &'a Expr },
    /// Runs an op.
    Op(usize),
    /// Waits.
    Wait { queue: Queue, sem: u8, n: u32 },
    /// Posts.
    Post {
        queue: Queue,
        sem: u8,
        n: u32,
        all_cores: bool,
    },
    /// Advances a ring.
    Advance(usize),
}

/// The memory of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Scratchpad.
    Sram,
    /// DRAM that the program writes.
    Dram,
    /// DRAM that it only reads: of no interest.
    Constant,
}

/// A region with the place resolved.
#[derive(Clone, Debug)]
pub struct Touch {
    /// Number of the place, see [`Code::place_name`].
    pub place: u32,
    /// The ring, if it is a page.
    pub ring: Option<usize>,
    /// Memory.
    pub home: Home,
    /// First byte of the buffer or of page 0.
    pub base: u64,
    /// Bytes of the buffer or page.
    pub size: u64,
    /// Offset in it.
    pub offset: Expr,
    /// Strides and extents.
    pub dims: [(u64, Extent); 3],
    /// Bytes of a run.
    pub bytes: Extent,
    /// Writes.
    pub write: bool,
    /// In the SRAM of all cores.
    pub everywhere: bool,
}

/// An op with what it touches.
#[derive(Clone, Debug)]
pub struct Action<'a> {
    /// The op.
    pub op: &'a Op,
    /// Its extents, constants other than 0 left out.
    pub guards: Vec<Extent>,
    /// What it touches, reads first.
    pub touches: Vec<Touch>,
}

/// A flattened program.
#[derive(Clone, Debug)]
pub struct Code<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its steps.
    pub steps: Vec<Step<'a>>,
    /// Its ops.
    pub actions: Vec<Action<'a>>,
    /// Whether it writes each buffer.
    pub written: Vec<bool>,
}

impl<'a> Code<'a> {
    /// Flattens a placed and synchronised program. Says what is missing if it is not one.
    pub fn of(program: &'a Program) -> Result<Code<'a>, String> {
        let written = vec![false; program.buffers.len()];
        let mut code = Code {
            program,
            steps: Vec::new(),
            actions: Vec::new(),
            written,
        };
        code.find_written(&program.body);
        code.block(&program.body)?;
        Ok(code)
    }

    /// The name of a place by its number: buffers first, then rings.
    pub fn place_name(&self, place: u32) -> &str {
        let i = place as usize;
        let buffers = &self.program.buffers;
        match buffers.get(i) {
            Some(b) => &b.name,
            None => self
                .program
                .rings
                .get(i - buffers.len())
                .map_or("?", |r| &r.name),
        }
    }

    fn find_written(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            match stmt {
                Stmt::Loop { body, .. } => self.find_written(body),
                Stmt::Op(op) => {
                    for region in op.accesses().regions {
                        if let (Place::Buffer(id), Mode::Write) = (region.view.place, region.mode)
                            && let Some(w) = self.written.get_mut(id.index())
                        {
                            *w = true;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn block(&mut self, stmts: &'a [Stmt]) -> Result<(), String> {
        for stmt in stmts {
            match stmt {
                Stmt::Loop {
                    var,
                    trip,
                    max_trip,
                    body,
                } => {
                    let start = self.steps.len();
                    self.steps.push(Step::Enter {
                        var: var.0 as usize,
                        trip,
                        max_trip: *max_trip,
                        alike: self.program.turns_alike(*var, body),
                        end: 0,
                    });
                    self.block(body)?;
                    let last = self.steps.len();
                    self.steps.push(Step::Again { start });
                    if let Some(Step::Enter { end, .. }) = self.steps.get_mut(start) {
                        *end = last;
                    }
                }
                Stmt::Let { var, value } => self.steps.push(Step::Let {
                    var: var.0 as usize,
                    value,
                }),
                Stmt::Op(op) => {
                    let action = self.action(op)?;
                    self.steps.push(Step::Op(self.actions.len()));
                    self.actions.push(action);
                }
                Stmt::Wait { queue, sem, n } => self.steps.push(Step::Wait {
                    queue: *queue,
                    sem: sem.0,
                    n: *n,
                }),
                Stmt::Post {
                    queue,
                    sem,
                    n,
                    all_cores,
                } => {
                    self.steps.push(Step::Post {
                        queue: *queue,
                        sem: sem.0,
                        n: *n,
                        all_cores: *all_cores,
                    });
                }
                Stmt::Advance(ring) => self.steps.push(Step::Advance(ring.index())),
                Stmt::Stream { .. } | Stmt::Barrier => {
                    return Err("a stream or barrier has not been expanded".to_string());
                }
            }
        }
        Ok(())
    }

    fn action(&self, op: &'a Op) -> Result<Action<'a>, String> {
        let accesses = op.accesses();
        let guards = accesses
            .guards
            .into_iter()
            .filter(|g| g.clamp.is_some() || g.n == 0)
            .collect();
        let mut touches = Vec::new();
        for region in accesses.regions {
            let (place, ring, home, base, size) = self.resolve(region.view.place)?;
            touches.push(Touch {
                place,
                ring,
                home,
                base,
                size,
                offset: region.view.offset,
                dims: region.dims.map(|(s, n)| (u64::from(s), n)),
                bytes: region.bytes,
                write: region.mode == Mode::Write,
                everywhere: region.reach == Reach::AllCores,
            });
        }
        Ok(Action {
            op,
            guards,
            touches,
        })
    }

    fn resolve(&self, place: Place) -> Result<(u32, Option<usize>, Home, u64, u64), String> {
        let buffers = self.program.buffers.len() as u32;
        match place {
            Place::Buffer(id) => {
                let b = self
                    .program
                    .buffers
                    .get(id.index())
                    .ok_or_else(|| format!("no buffer {}", id.0))?;
                let base = b
                    .addr
                    .ok_or_else(|| format!("buffer `{}` has no address", b.name))?;
                let home = match b.space {
                    Space::Sram => Home::Sram,
                    _ if self.written[id.index()] => Home::Dram,
                    _ => Home::Constant,
                };
                Ok((id.0, None, home, base, b.bytes))
            }
            Place::Page(id) => {
                let r = self
                    .program
                    .rings
                    .get(id.index())
                    .ok_or_else(|| format!("no ring {}", id.0))?;
                let base = r
                    .addr
                    .ok_or_else(|| format!("ring `{}` has no address", r.name))?;
                Ok((buffers + id.0, Some(id.index()), Home::Sram, base, r.page))
            }
        }
    }
}
