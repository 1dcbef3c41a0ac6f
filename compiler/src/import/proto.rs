//! The protobuf messages of an ONNX file, as far as llmc reads them.
//!
//! Only field numbers and wire types matter here; they are facts of the ONNX format. Unknown fields are skipped by
//! `prost`, so files of newer IR versions decode. Enumerations stay plain `i32`: an unknown code gets a diagnostic of
//! our own where it is used. `raw_data` is [`Bytes`], a slice of the file's memory map: decoding copies no weights.

use bytes::Bytes;
use prost::Message;

/// A whole ONNX file.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// Version of the ONNX IR (8 = 2023 and older exporters, 10 = 2024).
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Name of the exporter, for example `pytorch`.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// Version of the exporter.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// The main graph.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// Operator sets: which version of each operator domain the graph uses.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Free key-value pairs.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// Model-local functions.
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<FunctionProto>,
}

/// A graph: nodes in topological order, weights, inputs and outputs.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// The operators.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Name of the graph.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The weights.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Inputs; old files also list initializers here.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Types of inner values, as far as the exporter wrote them.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
    /// Weights in coordinate form.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
}

/// As [`GraphProto`], with its nodes as they lie in the file.
#[derive(Clone, PartialEq, Message)]
pub struct GraphOutline {
    /// The operators, encoded.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub node: Vec<Bytes>,
    /// Name of the graph.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The weights.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Inputs.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Weights in coordinate form.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
}

impl GraphOutline {
    /// The graph with these nodes, and no types of inner values.
    pub fn with_nodes(self, node: Vec<NodeProto>) -> GraphProto {
        GraphProto {
            node,
            name: self.name,
            initializer: self.initializer,
            input: self.input,
            output: self.output,
            value_info: Vec::new(),
            sparse_initializer: self.sparse_initializer,
        }
    }
}

/// One operator.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// Names of the operands; an empty name is an absent optional operand.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the results; an empty name is an unused optional result.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name of the node, may be empty.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Operator, for example `MatMul`.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Attributes.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Operator domain; empty and `ai.onnx` are the standard operators.
    #[prost(string, tag = "7")]
    pub domain: String,
    /// Overload of a model-local function.
    #[prost(string, tag = "8")]
    pub overload: String,
}

/// One attribute of a node; `type` (see [`attribute_type`]) says which field holds the value.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// Name of the attribute.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value of type FLOAT.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// Value of type INT.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// Value of type STRING.
    #[prost(bytes = "bytes", tag = "4")]
    pub s: Bytes,
    /// Value of type TENSOR.
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    /// Value of type GRAPH.
    #[prost(message, optional, boxed, tag = "6")]
    pub g: Option<Box<GraphProto>>,
    /// Value of type FLOATS.
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    /// Value of type INTS.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Value of type STRINGS.
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub strings: Vec<Bytes>,
    /// Value of type TENSORS.
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<TensorProto>,
    /// Value of type GRAPHS.
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<GraphProto>,
    /// Which field holds the value.
    #[prost(int32, tag = "20")]
    pub r#type: i32,
    /// In a function body: take the value of this attribute of the calling node.
    #[prost(string, tag = "21")]
    pub ref_attr_name: String,
}

/// Codes of [`AttributeProto::type`].
pub mod attribute_type {
    /// Not set (very old files); the field that is filled counts.
    pub const UNDEFINED: i32 = 0;
    /// `f`.
    pub const FLOAT: i32 = 1;
    /// `i`.
    pub const INT: i32 = 2;
    /// `s`.
    pub const STRING: i32 = 3;
    /// `t`.
    pub const TENSOR: i32 = 4;
    /// `g`.
    pub const GRAPH: i32 = 5;
    /// `floats`.
    pub const FLOATS: i32 = 6;
    /// `ints`.
    pub const INTS: i32 = 7;
    /// `strings`.
    pub const STRINGS: i32 = 8;
}

/// A constant: dims, type and the values inline or in another file.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Extent of each axis.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Element type, see [`data_type`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// f32 values, if not in `raw_data`.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Values of types of 32 bits and less, if not in `raw_data`.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// i64 values, if not in `raw_data`.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name of the value.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The values as little-endian bytes.
    #[prost(bytes = "bytes", tag = "9")]
    pub raw_data: Bytes,
    /// f64 values, if not in `raw_data`.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// u32 and u64 values, if not in `raw_data`.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Keys `location`, `offset`, `length`, `checksum` of values in another file.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// 1 = the values are in another file.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// Codes of [`TensorProto::data_type`].
pub mod data_type {
    /// f32.
    pub const FLOAT: i32 = 1;
    /// u8.
    pub const UINT8: i32 = 2;
    /// i8.
    pub const INT8: i32 = 3;
    /// u16.
    pub const UINT16: i32 = 4;
    /// i16.
    pub const INT16: i32 = 5;
    /// i32.
    pub const INT32: i32 = 6;
    /// i64.
    pub const INT64: i32 = 7;
    /// Strings; never in a language model.
    pub const STRING: i32 = 8;
    /// One byte per element, 0 or 1.
    pub const BOOL: i32 = 9;
    /// IEEE half.
    pub const FLOAT16: i32 = 10;
    /// f64.
    pub const DOUBLE: i32 = 11;
    /// u32.
    pub const UINT32: i32 = 12;
    /// u64.
    pub const UINT64: i32 = 13;
    /// bfloat16.
    pub const BFLOAT16: i32 = 16;
    /// Float of 8 bits: 4 of exponent, 3 of mantissa, no infinity.
    pub const FLOAT8E4M3FN: i32 = 17;
    /// The same with one zero, whose negative is NaN.
    pub const FLOAT8E4M3FNUZ: i32 = 18;
    /// Float of 8 bits: 5 of exponent, 2 of mantissa.
    pub const FLOAT8E5M2: i32 = 19;
    /// The same with one zero, whose negative is NaN, and no infinity.
    pub const FLOAT8E5M2FNUZ: i32 = 20;
    /// Two unsigned elements per byte, low nibble first.
    pub const UINT4: i32 = 21;
    /// Two signed elements per byte, low nibble first.
    pub const INT4: i32 = 22;
    /// Two floats per byte, low nibble first: 2 bits of exponent, 1 of mantissa.
    pub const FLOAT4E2M1: i32 = 23;
    /// A power of two in 8 bits.
    pub const FLOAT8E8M0: i32 = 24;
    /// Four unsigned elements per byte, low bits first.
    pub const UINT2: i32 = 25;
    /// Four signed elements per byte, low bits first.
    pub const INT2: i32 = 26;

    /// Name of a type code as the ONNX specification writes it; `?` for an unknown code.
    pub fn name(code: i32) -> &'static str {
        const NAMES: [&str; 29] = [
            "UNDEFINED",
            "FLOAT",
            "UINT8",
            "INT8",
            "UINT16",
            "INT16",
            "INT32",
            "INT64",
            "STRING",
            "BOOL",
            "FLOAT16",
            "DOUBLE",
            "UINT32",
            "UINT64",
            "COMPLEX64",
            "COMPLEX128",
            "BFLOAT16",
            "FLOAT8E4M3FN",
            "FLOAT8E4M3FNUZ",
            "FLOAT8E5M2",
            "FLOAT8E5M2FNUZ",
            "UINT4",
            "INT4",
            "FLOAT4E2M1",
            "FLOAT8E8M0",
            "UINT2",
            "INT2",
            "FLOAT6E2M3",
            "FLOAT6E3M2",
        ];
        usize::try_from(code)
            .ok()
            .and_then(|i| NAMES.get(i))
            .copied()
            .unwrap_or("?")
    }
}

/// A constant in coordinate form; llmc only reports it.
#[derive(Clone, PartialEq, Message)]
pub struct SparseTensorProto {
    /// The non-zero values; their name is the name of the value.
    #[prost(message, optional, tag = "1")]
    pub values: Option<TensorProto>,
}

/// Name and type of a graph input or output.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    /// Name of the value.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Type of the value.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// A type; llmc reads tensors only, and tells the others apart to refuse them by name.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    /// What kind of value it is.
    #[prost(oneof = "TypeKind", tags = "1, 4, 5, 8, 9")]
    pub kind: Option<TypeKind>,
}

/// The kinds of values.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum TypeKind {
    /// A tensor.
    #[prost(message, tag = "1")]
    Tensor(TensorTypeProto),
    /// A list of values of one type.
    #[prost(message, tag = "4")]
    Sequence(AnyProto),
    /// A map.
    #[prost(message, tag = "5")]
    Map(AnyProto),
    /// A tensor in coordinate form.
    #[prost(message, tag = "8")]
    SparseTensor(AnyProto),
    /// A value or none.
    #[prost(message, tag = "9")]
    Optional(AnyProto),
}

/// A message whose fields do not matter.
#[derive(Clone, PartialEq, Message)]
pub struct AnyProto {}

/// Element type and shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    /// Element type, see [`data_type`].
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Shape; absent if even the rank is unknown.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// One entry per axis.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// Extent of one axis.
#[derive(Clone, PartialEq, Message)]
pub struct DimensionProto {
    /// Number or name; absent if unknown.
    #[prost(oneof = "DimValue", tags = "1, 2")]
    pub value: Option<DimValue>,
}

/// A number or a name.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum DimValue {
    /// A fixed extent.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// A symbol or (dynamo) an expression such as `s64 + s70`.
    #[prost(string, tag = "2")]
    Param(String),
}

/// One operator domain and its version.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetIdProto {
    /// Domain; empty and `ai.onnx` are the standard operators.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A key and a value.
#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntryProto {
    /// Key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A model-local function: an operator whose body is a list of nodes.
#[derive(Clone, PartialEq, Message)]
pub struct FunctionProto {
    /// Operator name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Formal operands.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// Formal results.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// Attributes without a default.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    /// The body.
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<NodeProto>,
    /// Operator sets of the body.
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Operator domain.
    #[prost(string, tag = "10")]
    pub domain: String,
    /// Attributes with their defaults.
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<AttributeProto>,
    /// Overload name.
    #[prost(string, tag = "13")]
    pub overload: String,
}
