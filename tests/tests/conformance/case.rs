//! A case on disk: a model, and inputs with the outputs they give. See `tests/ort/node_cases.py` for the layout.

use llmc_compiler::import::proto::{ModelProto, TensorProto};
use llmc_compiler::import::source::inline_tensor;
use llmc_tensor::{DType, Tensor};
use prost::Message;
use std::fs;
use std::path::{Path, PathBuf};

/// A node test.
#[derive(Debug)]
pub struct Case {
    /// The model file.
    pub path: PathBuf,
    /// What is in it.
    pub model: ModelProto,
    /// Inputs and expected outputs.
    pub sets: Vec<DataSet>,
    /// An element may differ by `atol + rtol * |expected|`.
    pub rtol: f64,
    /// See `rtol`.
    pub atol: f64,
}

/// Values for all inputs of a graph, and what it makes of them.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// Inputs by name, in the order of the graph; the error if a value is no tensor.
    pub inputs: Vec<(String, Result<Tensor, String>)>,
    /// Outputs by name.
    pub outputs: Vec<(String, Result<Tensor, String>)>,
}

/// The names of the cases in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| folder.join(name).join("model.onnx").is_file())
        .collect();
    names.sort();
    names
}

impl Case {
    /// Reads a case.
    pub fn load(folder: &Path, name: &str) -> Case {
        let folder = folder.join(name);
        let path = folder.join("model.onnx");
        let model = ModelProto::decode(fs::read(&path).unwrap().as_slice()).unwrap();
        let settings = fs::read_to_string(folder.join("case.json")).unwrap();
        let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
        let graph = model.graph.clone().unwrap_or_default();
        let input_names: Vec<String> = graph.input.iter().map(|i| i.name.clone()).collect();
        let output_names: Vec<String> = graph.output.iter().map(|o| o.name.clone()).collect();
        let sets = (0..)
            .map(|i| folder.join(format!("test_data_set_{i}")))
            .take_while(|f| f.is_dir());
        let sets = sets
            .map(|f| DataSet {
                inputs: values(&f, "input", &input_names),
                outputs: values(&f, "output", &output_names),
            })
            .collect();
        Case {
            path,
            model,
            sets,
            rtol: settings["rtol"].as_f64().unwrap(),
            atol: settings["atol"].as_f64().unwrap(),
        }
    }

    /// The operator that it tests, with its domain unless that is the standard one. Cases that end in `_expanded` hold
    /// the body of the operator of the case without that ending.
    pub fn operator(&self, folder: &Path, name: &str) -> String {
        let whole = name.split("_expanded").next().unwrap_or(name);
        if whole != name && folder.join(whole).is_dir() {
            return Case::load(folder, whole).operator(folder, whole);
        }
        let nodes = self.model.graph.iter().flat_map(|g| &g.node);
        let node = nodes.clone().find(|n| n.op_type != "Constant");
        node.or(nodes.clone().next())
            .map_or_else(String::new, |n| match n.domain.as_str() {
                "" | "ai.onnx" => n.op_type.clone(),
                domain => format!("{domain}.{}", n.op_type),
            })
    }

    /// The inputs that may decide a shape: integers of at most one axis, beside at least one other input.
    pub fn shape_inputs(&self) -> Vec<String> {
        let first = self.sets.first().map_or(&[][..], |s| &s.inputs);
        let small = |value: &Result<Tensor, String>| {
            let tensor = value.as_ref().ok();
            tensor.is_some_and(|t| t.rank() <= 1 && !t.dtype().is_float())
        };
        let names = first.iter().filter(|(_, value)| small(value));
        let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
        if names.len() == first.len() {
            Vec::new()
        } else {
            names
        }
    }

    /// The case with some inputs as constants of the model, which is written into `folder`.
    pub fn with_constants(&self, names: &[String], folder: &Path) -> Case {
        let mut model = self.model.clone();
        let constant = |name: &str| names.iter().any(|n| n == name);
        if let Some(graph) = &mut model.graph {
            let position = |name: &str| graph.input.iter().position(|i| i.name == name);
            for name in names {
                let file = format!("input_{}.pb", position(name).unwrap());
                let file = self.path.with_file_name("test_data_set_0").join(file);
                let mut value = TensorProto::decode(fs::read(file).unwrap().as_slice()).unwrap();
                value.name.clone_from(name);
                graph.initializer.push(value);
            }
            graph.input.retain(|i| !constant(&i.name));
        }
        let mut sets = self.sets[..1].to_vec();
        for set in &mut sets {
            set.inputs.retain(|(name, _)| !constant(name));
        }
        let path = folder.join("model.onnx");
        fs::write(&path, model.encode_to_vec()).unwrap();
        Case {
            path,
            model,
            sets,
            ..*self
        }
    }

    /// The first difference of a result from what it should be.
    pub fn difference(&self, got: &Tensor, expected: &Tensor) -> Option<String> {
        if got.shape() != expected.shape() {
            let (got, expected) = (got.shape(), expected.shape());
            return Some(format!("shape {got:?}, expected {expected:?}"));
        }
        let pairs = got.to_f64_vec().into_iter().zip(expected.to_f64_vec());
        // Results of 16-bit types may be two units in the last place away, which is more than `rtol`.
        let relative = match expected.dtype() {
            DType::F32 | DType::F64 => Some(self.rtol),
            DType::F16 => Some(2.0 * f64::powi(2.0, -10)),
            DType::Bf16 => Some(2.0 * f64::powi(2.0, -7)),
            _ => None,
        };
        let limit = |y: f64| relative.map_or(0.0, |r| self.atol + r * y.abs());
        let differs = |&(_, (x, y)): &(usize, (f64, f64))| {
            let same = x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= limit(y);
            // A limit of infinity allows nothing but equality.
            !same || y.is_infinite() && x != y
        };
        let (i, (x, y)) = pairs.enumerate().find(differs)?;
        let index = llmc_tensor::compare::unravel(i, got.shape());
        Some(format!("element {index:?} is {x}, expected {y}"))
    }
}

fn values(folder: &Path, kind: &str, names: &[String]) -> Vec<(String, Result<Tensor, String>)> {
    let file = |i: usize| folder.join(format!("{kind}_{i}.pb"));
    let read = |path: &Path| {
        let proto = TensorProto::decode(fs::read(path).unwrap().as_slice());
        let proto = proto.map_err(|_| String::from("the value is no tensor"))?;
        inline_tensor(&proto).map_err(|e| e.to_string())
    };
    names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.clone(), file(i)))
        .filter(|(_, path)| path.is_file())
        .map(|(name, path)| (name, read(&path)))
        .collect()
}
