//! `If`, `Loop` and `Scan`: subgraphs written out once it is known which, and how often.
//!
//! A branch that a constant decides is taken, and the other never looked at. Otherwise both are computed and `Where` selects,
//! which asks for results of one type. Loops are unrolled; how often they run must be known at compile time. What is
//! written out are ordinary nodes, so that folding, samples and messages work inside as they do outside.

use std::rc::Rc;

use llmc_tensor::{DType, Tensor};

use super::attributes::Attributes;
use super::error::{OpError, Problem};
use super::flatten::{Body, Flattener};
use super::lower::Lower;
use super::model::{Node, ValueIx, read_constants};
use super::ops;
use super::proto::{AttributeProto, attribute_type};
use super::value::{Content, Val, axis_of};

/// Loops that run more often are not unrolled.
const MAX_ITERATIONS: i64 = 1024;
/// All subgraphs together may become so many nodes.
const MAX_NODES: usize = 1 << 17;
/// Operator set of the nodes that join the parts.
const VERSION: i64 = 18;

/// True for an operator with subgraphs that this file handles.
pub fn is_control(node: &Node) -> bool {
    node.domain.is_empty() && matches!(node.op.as_str(), "If" | "Loop" | "Scan")
}

impl Lower<'_> {
    /// Lowers a control flow node; problems inside its subgraphs are added to the list.
    ///
    /// # Errors
    /// What is wrong with the node itself.
    pub(super) fn control(
        &mut self,
        node: &Node,
        problems: &mut Vec<Problem>,
    ) -> Result<(), OpError> {
        let failed = |ix: &ValueIx| self.values[ix.index()].is_none();
        if node.inputs.iter().flatten().any(failed) {
            return Ok(());
        }
        match node.op.as_str() {
            "If" => self.branch(node, problems),
            "Loop" => self.repeat(node, problems),
            _ => self.scan(node, problems),
        }
    }

    fn branch(&mut self, node: &Node, problems: &mut Vec<Problem>) -> Result<(), OpError> {
        let condition = operand(node, 0)?;
        let (then, other) = (body(node, "then_branch")?, body(node, "else_branch")?);
        if let Some(taken) = self.known_bool(condition)? {
            let (chosen, label) = if taken {
                (then, "then")
            } else {
                (other, "else")
            };
            let made = self.write_out(node, chosen, label, &[], problems)?;
            for (output, value) in results(node, made.as_deref())? {
                self.join(node, "Identity", &[value], output, Vec::new(), problems);
            }
            return Ok(());
        }
        let yes = self.write_out(node, then, "then", &[], problems)?;
        let no = self.write_out(node, other, "else", &[], problems)?;
        // As a scalar it broadcasts to anything.
        let scalar = self.fresh(node);
        self.join(node, "Squeeze", &[condition], scalar, Vec::new(), problems);
        let no = results(node, no.as_deref())?;
        for ((output, yes), (_, no)) in results(node, yes.as_deref())?.into_iter().zip(no) {
            let [yes, no] = self.as_long(node, output, [yes, no], problems)?;
            let ty = |ix: ValueIx| self.values[ix.index()].as_ref().and_then(|v| v.ty.as_ref());
            if let (Some(a), Some(b)) = (ty(yes), ty(no))
                && a != b
            {
                return Err(OpError::unsupported(
                    format!(
                        "the condition is not known at compile time, and the branches give {a} and {b}"
                    ),
                    "export one of the branches alone, or with a constant condition",
                ));
            }
            let operands = [scalar, yes, no];
            self.join(node, "Where", &operands, output, Vec::new(), problems);
        }
        Ok(())
    }

    /// Two tables of positions, the one with fewer rows padded: it is taken where no position lies beyond its end. Other values stay as they are.
    fn as_long(
        &mut self,
        node: &Node,
        output: ValueIx,
        pair: [ValueIx; 2],
        problems: &mut Vec<Problem>,
    ) -> Result<[ValueIx; 2], OpError> {
        let rows = |ix: ValueIx| -> Option<[i64; 2]> {
            let ty = self.values[ix.index()].as_ref()?.ty.as_ref()?;
            match &ty.shape[..] {
                [rows, columns] => Some([rows.as_const()?, columns.as_const()?]),
                _ => None,
            }
        };
        let (Some([a, width]), Some([b, other])) = (rows(pair[0]), rows(pair[1])) else {
            return Ok(pair);
        };
        let table = |user: &Node, at: usize| match (user.op.as_str(), user.domain.as_str()) {
            ("GroupQueryAttention", _) => at == 7 || at == 8,
            ("RotaryEmbedding", "") => at == 1 || at == 2,
            ("RotaryEmbedding", _) => at == 2 || at == 3,
            ("Gather", "") => at == 0,
            _ => false,
        };
        if a == b || width != other || !self.all_users(output, table) {
            return Ok(pair);
        }
        let shorter = usize::from(b < a);
        let pads = Tensor::from_i64(DType::I64, [4], &[0, 0, (a - b).abs(), 0]);
        let pads = self.constant_of(node, pads)?;
        let padded = self.fresh(node);
        let operands = [pair[shorter], pads];
        self.join(node, "Pad", &operands, padded, Vec::new(), problems);
        let mut same = pair;
        same[shorter] = padded;
        Ok(same)
    }

    fn repeat(&mut self, node: &Node, problems: &mut Vec<Problem>) -> Result<(), OpError> {
        let body = body(node, "body")?;
        let given = |i: usize| node.inputs.get(i).copied().flatten();
        let most = match given(0) {
            Some(ix) => Some(self.turns(ix)?),
            None => None,
        };
        let mut go_on = match given(1) {
            Some(ix) => ix,
            None => self.constant_of(node, Tensor::from_i64(DType::Bool, [], &[1]))?,
        };
        let mut state = Vec::new();
        for i in 2..node.inputs.len() {
            state.push(operand(node, i)?);
        }
        let carried = state.len();
        let scanned = node.outputs.len().saturating_sub(carried);
        let mut rows: Vec<Vec<ValueIx>> = vec![Vec::new(); scanned];
        let mut turn = 0;
        while most.is_none_or(|most| turn < most) {
            match self.known_bool(go_on)? {
                Some(true) => {}
                Some(false) => break,
                None => {
                    return Err(OpError::unsupported(
                        "how often the loop runs depends on values that are not known at compile time",
                        "export with a fixed number of iterations",
                    ));
                }
            }
            check_turns(turn)?;
            let number = self.constant_of(node, Tensor::from_i64(DType::I64, [], &[turn]))?;
            let inputs = [&[number, go_on], state.as_slice()].concat();
            let label = turn.to_string();
            let Some(made) = self.write_out(node, body, &label, &inputs, problems)? else {
                return Ok(());
            };
            let Some((next, made)) = made.split_first() else {
                return Err(OpError::input("the body gives no condition"));
            };
            if made.len() != carried + scanned {
                return Err(wrong_results(made.len(), carried + scanned));
            }
            // What failed is reported already.
            if self.values[next.index()].is_none() {
                return Ok(());
            }
            go_on = *next;
            state = made[..carried].to_vec();
            for (rows, value) in rows.iter_mut().zip(&made[carried..]) {
                rows.push(*value);
            }
            turn += 1;
        }
        for (output, value) in node.outputs.iter().zip(&state) {
            if let Some(output) = output {
                self.join(node, "Identity", &[*value], *output, Vec::new(), problems);
            }
        }
        for (output, rows) in node.outputs.iter().skip(carried).zip(rows) {
            if let Some(output) = output {
                self.stack(node, &rows, 0, *output, problems)?;
            }
        }
        Ok(())
    }

    fn scan(&mut self, node: &Node, problems: &mut Vec<Problem>) -> Result<(), OpError> {
        if node.version < 9 {
            return Err(OpError::unsupported(
                "Scan of operator set 8 has a batch axis",
                "export with opset 9 or newer",
            ));
        }
        let body = body(node, "body")?;
        let attributes = Attributes::of(node);
        let scanned = attributes.int_required("num_scan_inputs")?;
        let carried = usize::try_from(scanned)
            .ok()
            .and_then(|n| node.inputs.len().checked_sub(n))
            .ok_or_else(|| OpError::input(format!("`num_scan_inputs` is {scanned}")))?;
        let at = |name: &str, i: usize| -> Result<i64, OpError> {
            let list = attributes.ints(name)?.unwrap_or(&[]);
            Ok(list.get(i).copied().unwrap_or(0))
        };
        let mut all = Vec::new();
        for i in 0..node.inputs.len() {
            all.push(operand(node, i)?);
        }
        let sequences = all.split_off(carried);
        let mut state = all;
        let (mut axes, mut length) = (Vec::new(), None);
        for (i, ix) in sequences.iter().enumerate() {
            let val = self.values[ix.index()].clone().ok_or_else(lost)?;
            let shape = &self.ty(&val)?.shape;
            let axis = axis_of(at("scan_input_axes", i)?, shape.len())?;
            let extent = shape[axis].as_const().ok_or_else(|| {
                OpError::unsupported(
                    format!(
                        "it runs over an axis of `{}`, which is no number",
                        shape[axis]
                    ),
                    "export with a fixed sequence length",
                )
            })?;
            if length.is_some_and(|l| l != extent) {
                return Err(OpError::input("the scanned operands differ in length"));
            }
            length = Some(extent);
            axes.push(axis as i64);
        }
        let length = length.ok_or_else(|| OpError::input("it scans nothing"))?;
        check_turns(length.saturating_sub(1))?;
        let outputs = node.outputs.len().saturating_sub(carried);
        let mut rows: Vec<Vec<ValueIx>> = vec![Vec::new(); outputs];
        for turn in 0..length {
            let mut inputs = state.clone();
            for (i, ix) in sequences.iter().enumerate() {
                let backwards = at("scan_input_directions", i)? != 0;
                let index = if backwards { length - 1 - turn } else { turn };
                let index = self.constant_of(node, Tensor::from_i64(DType::I64, [], &[index]))?;
                let element = self.fresh(node);
                let axis = vec![int("axis", axes[i])];
                self.join(node, "Gather", &[*ix, index], element, axis, problems);
                inputs.push(element);
            }
            let label = turn.to_string();
            let Some(made) = self.write_out(node, body, &label, &inputs, problems)? else {
                return Ok(());
            };
            if made.len() != carried + outputs {
                return Err(wrong_results(made.len(), carried + outputs));
            }
            state = made[..carried].to_vec();
            for (rows, value) in rows.iter_mut().zip(&made[carried..]) {
                rows.push(*value);
            }
        }
        for (output, value) in node.outputs.iter().zip(&state) {
            if let Some(output) = output {
                self.join(node, "Identity", &[*value], *output, Vec::new(), problems);
            }
        }
        for (i, (output, mut rows)) in node.outputs.iter().skip(carried).zip(rows).enumerate() {
            if at("scan_output_directions", i)? != 0 {
                rows.reverse();
            }
            if let Some(output) = output {
                self.stack(node, &rows, at("scan_output_axes", i)?, *output, problems)?;
            }
        }
        Ok(())
    }

    /// Lowers the nodes of a subgraph; `None` if one of them failed.
    fn write_out(
        &mut self,
        node: &Node,
        body: &Body,
        label: &str,
        inputs: &[ValueIx],
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Vec<ValueIx>>, OpError> {
        let before = problems.len();
        let context = &self.model.context;
        let mut flat = Flattener::new(context, self.values.len());
        let prefix = format!("{}/{label}/", node.name);
        let contradiction = |e: super::ImportError| OpError {
            category: e.category(),
            reason: e.to_string(),
            remedy: String::new(),
        };
        let outputs = flat.body(body, prefix, inputs).map_err(contradiction)?;
        self.late_nodes += flat.nodes.len();
        if self.late_nodes > MAX_NODES {
            return Err(OpError::unsupported(
                format!("written out, the subgraphs have more than {MAX_NODES} nodes"),
                "export without loops",
            ));
        }
        problems.append(&mut flat.problems);
        let used = flat.constants.keys().copied().collect();
        let constants =
            read_constants(&flat.constants, &used, context, problems).map_err(contradiction)?;
        for name in flat.names {
            let ix = self.fresh(node);
            self.late_names.insert(ix, name);
        }
        for (ix, tensor) in constants {
            self.values[ix.index()] = Some(Val {
                source: Some(ix),
                ..Val::constant(tensor)
            });
        }
        for node in flat.nodes {
            self.late(node, problems);
        }
        Ok((problems.len() == before).then_some(outputs))
    }

    /// Lowers a node that is not in the list of the model.
    fn late(&mut self, node: Node, problems: &mut Vec<Problem>) {
        let node = Rc::new(node);
        for output in node.outputs.iter().flatten() {
            self.producers[output.index()] = Some(Rc::clone(&node));
        }
        match ops::check_node(&node) {
            Some(problem) => problems.push(problem),
            None => self.one(&node, problems),
        }
    }

    /// Lowers a node that joins what was written out with the rest.
    fn join(
        &mut self,
        node: &Node,
        op: &str,
        inputs: &[ValueIx],
        output: ValueIx,
        attributes: Vec<AttributeProto>,
        problems: &mut Vec<Problem>,
    ) {
        let joining = Node {
            name: node.name.clone(),
            op: op.to_string(),
            domain: String::new(),
            version: VERSION,
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(output)],
            attributes,
            bodies: Vec::new(),
        };
        self.late(joining, problems);
    }

    /// Joins values along a new axis.
    fn stack(
        &mut self,
        node: &Node,
        rows: &[ValueIx],
        axis: i64,
        output: ValueIx,
        problems: &mut Vec<Problem>,
    ) -> Result<(), OpError> {
        if rows.is_empty() {
            return Err(OpError::unsupported(
                "the loop does not run, and its collected results would be empty",
                "export without this loop",
            ));
        }
        let axes = self.constant_of(node, Tensor::from_i64(DType::I64, [1], &[axis]))?;
        let mut parts = Vec::new();
        for row in rows {
            let part = self.fresh(node);
            self.join(node, "Unsqueeze", &[*row, axes], part, Vec::new(), problems);
            parts.push(part);
        }
        self.join(
            node,
            "Concat",
            &parts,
            output,
            vec![int("axis", axis)],
            problems,
        );
        Ok(())
    }

    /// A new value, not known yet.
    fn fresh(&mut self, node: &Node) -> ValueIx {
        let ix = ValueIx(self.values.len() as u32);
        self.values.push(None);
        self.producers.push(None);
        self.late_names.insert(ix, node.name.clone());
        ix
    }

    fn constant_of<E: ToString>(
        &mut self,
        node: &Node,
        tensor: Result<Tensor, E>,
    ) -> Result<ValueIx, OpError> {
        let tensor = tensor.map_err(|e| OpError::bug(e.to_string()))?;
        let ix = self.fresh(node);
        self.values[ix.index()] = Some(Val {
            source: Some(ix),
            ..Val::constant(tensor)
        });
        Ok(ix)
    }

    /// A condition, if it is known.
    fn known_bool(&self, ix: ValueIx) -> Result<Option<bool>, OpError> {
        let val = self.values[ix.index()].as_ref().ok_or_else(lost)?;
        match &val.content {
            Content::Const(tensor) => match tensor.to_bool_vec().as_slice() {
                [value] => Ok(Some(*value)),
                other => Err(OpError::input(format!(
                    "a condition of {} elements, not one",
                    other.len()
                ))),
            },
            Content::Ints(_)
            | Content::Structural { .. }
            | Content::Data(_)
            | Content::Selected(_) => Ok(None),
        }
    }

    /// How often a loop runs at most.
    fn turns(&self, ix: ValueIx) -> Result<i64, OpError> {
        let val = self.values[ix.index()].as_ref().ok_or_else(lost)?;
        match self.fixed_ints(val)?.as_slice() {
            [n] => Ok(*n),
            other => Err(OpError::input(format!(
                "a number of iterations of {} elements, not one",
                other.len()
            ))),
        }
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_string(),
        i,
        r#type: attribute_type::INT,
        ..AttributeProto::default()
    }
}

fn lost() -> OpError {
    OpError::bug("an operand was not computed")
}

fn operand(node: &Node, i: usize) -> Result<ValueIx, OpError> {
    let given = node.inputs.get(i).copied().flatten();
    given.ok_or_else(|| OpError::input(format!("operand {i} is missing")))
}

fn body<'n>(node: &'n Node, attribute: &str) -> Result<&'n Body, OpError> {
    let found = node.bodies.iter().find(|b| b.attribute == attribute);
    found.ok_or_else(|| OpError::input(format!("the subgraph `{attribute}` is missing")))
}

fn check_turns(turn: i64) -> Result<(), OpError> {
    match turn < MAX_ITERATIONS {
        true => Ok(()),
        false => Err(OpError::unsupported(
            format!("it runs more than {MAX_ITERATIONS} times, which is not unrolled"),
            "export without this loop",
        )),
    }
}

fn wrong_results(found: usize, expected: usize) -> OpError {
    OpError::input(format!("the body gives {found} results, not {expected}"))
}

/// The used results of a node with the values that stand for them; none if the values failed.
fn results(node: &Node, made: Option<&[ValueIx]>) -> Result<Vec<(ValueIx, ValueIx)>, OpError> {
    let Some(made) = made else {
        return Ok(Vec::new());
    };
    if made.len() != node.outputs.len() {
        return Err(wrong_results(made.len(), node.outputs.len()));
    }
    let pairs = node.outputs.iter().zip(made);
    Ok(pairs.filter_map(|(o, v)| o.map(|o| (o, *v))).collect())
}
