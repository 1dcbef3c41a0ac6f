//! From files to tensors: the memory-mapped ONNX file and the files of external data beside it.
//!
//! Nothing here copies weights: a constant is a slice of a map. Only values that the exporter wrote as protobuf numbers
//! instead of bytes (`float_data` and the like) are gathered into memory of their own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use llmc_tensor::{DType, Tensor, TensorError};
use prost::Message;

use super::error::{Category, ImportError};
use super::proto::{ModelProto, TensorProto, data_type};

/// Maps a file; the bytes keep the map alive.
///
/// # Errors
/// The operating system's, with the path.
pub fn map_file(path: &Path) -> Result<Bytes, ImportError> {
    llmc_tensor::map_file(path).map_err(|error| match error {
        TensorError::Io { path, source } => ImportError::Read { path, source },
        other => ImportError::Read {
            path: path.into(),
            source: std::io::Error::other(other.to_string()),
        },
    })
}

/// Maps and decodes an ONNX file.
///
/// # Errors
/// Unreadable, empty, truncated, or not an ONNX protobuf.
pub fn load_model(path: &Path) -> Result<ModelProto, ImportError> {
    decode(map_file(path)?, path)
}

/// Decodes a mapped ONNX file.
///
/// # Errors
/// Empty, truncated, or not an ONNX protobuf.
pub fn decode(bytes: Bytes, path: &Path) -> Result<ModelProto, ImportError> {
    let size = bytes.len() as u64;
    let decode = |detail: String| ImportError::Decode {
        path: path.into(),
        bytes: size,
        detail,
    };
    if bytes.is_empty() {
        return Err(decode(String::from("the file is empty")));
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(decode(String::from(
            "it is a Git LFS pointer, not the model (run `git lfs pull`)",
        )));
    }
    ModelProto::decode(bytes).map_err(|e| decode(e.to_string()))
}

/// The element type of an ONNX type code.
///
/// # Errors
/// The reason: an unknown code, or a type that llmc does not have.
pub fn dtype_of(code: i32) -> Result<DType, (Category, String)> {
    Ok(match code {
        data_type::FLOAT => DType::F32,
        data_type::UINT8 => DType::U8,
        data_type::INT8 => DType::I8,
        data_type::UINT16 => DType::U16,
        data_type::INT16 => DType::I16,
        data_type::INT32 => DType::I32,
        data_type::INT64 => DType::I64,
        data_type::BOOL => DType::Bool,
        data_type::FLOAT16 => DType::F16,
        data_type::DOUBLE => DType::F64,
        data_type::UINT32 => DType::U32,
        data_type::UINT64 => DType::U64,
        data_type::BFLOAT16 => DType::Bf16,
        data_type::UINT4 => DType::U4,
        data_type::INT4 => DType::I4,
        data_type::UINT2 => DType::U2,
        data_type::INT2 => DType::I2,
        data_type::FLOAT8E4M3FN => DType::F8E4m3,
        data_type::FLOAT8E4M3FNUZ => DType::F8E4m3Fnuz,
        data_type::FLOAT8E5M2 => DType::F8E5m2,
        data_type::FLOAT8E5M2FNUZ => DType::F8E5m2Fnuz,
        data_type::FLOAT8E8M0 => DType::F8E8m0,
        data_type::FLOAT4E2M1 => DType::F4E2m1,
        0 => return Err((Category::Input, String::from("it has no element type"))),
        known if data_type::name(known) != "?" => {
            return Err((
                Category::Unsupported,
                format!("element type {} is not supported", data_type::name(known)),
            ));
        }
        unknown => {
            let newest = data_type::name(28);
            return Err((
                Category::Unsupported,
                format!(
                    "element type code {unknown} is unknown (this llmc knows codes 1 to 28, {newest})"
                ),
            ));
        }
    })
}

/// Reads constants; holds one map per external file.
#[derive(Debug)]
pub struct Weights {
    folder: PathBuf,
    files: BTreeMap<String, Bytes>,
}

impl Weights {
    /// Constants of the model at `model`; external files are looked up in its folder.
    pub fn new(model: &Path) -> Self {
        let folder = model.parent().map(PathBuf::from).unwrap_or_default();
        Weights {
            folder,
            files: BTreeMap::new(),
        }
    }

    /// The values of a constant, inline or external.
    ///
    /// # Errors
    /// Missing or short external file, a path that leaves the model's folder, values that do not fit type and dims,
    /// unknown element type.
    pub fn tensor(&mut self, proto: &TensorProto) -> Result<Tensor, ImportError> {
        match proto.data_location {
            1 => {
                let (dtype, shape, bytes) = layout(proto)?;
                let data = self.external(proto, bytes)?;
                Tensor::new(dtype, shape, data).map_err(|e| wrong(proto, e.to_string()))
            }
            _ => inline_tensor(proto),
        }
    }

    fn external(&mut self, proto: &TensorProto, needed: usize) -> Result<Bytes, ImportError> {
        let fail = |detail| ImportError::External {
            tensor: proto.name.clone(),
            detail,
        };
        let entry = |key: &str| {
            proto
                .external_data
                .iter()
                .find(|e| e.key == key)
                .map(|e| e.value.as_str())
        };
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<u64>() {
                Ok(n) => Ok(Some(n)),
                Err(_) => Err(fail(format!("`{key}` is `{text}`, not a number of bytes"))),
            },
        };
        let location = entry("location")
            .ok_or_else(|| fail(String::from("it names no file (key `location`)")))?;
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(needed as u64);
        let file = self.map(&proto.name, location)?;
        let size = file.len() as u64;
        let end = offset.checked_add(length).filter(|&end| end <= size).ok_or_else(|| {
            fail(format!(
                "bytes {offset}..+{length} are asked for, but `{location}` has {size}: the file is cut short or belongs to another model"
            ))
        })?;
        if length != needed as u64 {
            return Err(fail(format!(
                "{length} bytes are given, type and dims {:?} take {needed}",
                proto.dims
            )));
        }
        // Both fit usize: they are at most the size of a mapped file.
        Ok(file.slice(offset as usize..end as usize))
    }

    fn map(&mut self, tensor: &str, location: &str) -> Result<&Bytes, ImportError> {
        match self.files.entry(String::from(location)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let inside = |c| matches!(c, Component::Normal(_) | Component::CurDir);
                if location.is_empty() || !Path::new(location).components().all(inside) {
                    return Err(ImportError::External {
                        tensor: tensor.into(),
                        detail: format!(
                            "`{location}` points outside the model's folder, which is refused; only files beside the model are read"
                        ),
                    });
                }
                let path = self.folder.join(location);
                if !path.exists() {
                    return Err(ImportError::ExternalMissing {
                        tensor: tensor.into(),
                        location: location.into(),
                        expected: path,
                    });
                }
                // A link inside the folder may still lead out of it.
                let read = |source| ImportError::Read {
                    path: path.clone(),
                    source,
                };
                let real = path.canonicalize().map_err(read)?;
                let base = match self.folder.as_os_str().is_empty() {
                    true => Path::new("."),
                    false => self.folder.as_path(),
                };
                let home = base.canonicalize().map_err(read)?;
                if !real.starts_with(&home) && !is_cache_link(&real, &home) {
                    return Err(ImportError::External {
                        tensor: tensor.into(),
                        detail: format!(
                            "`{location}` is a link to {}, outside the model's folder, which is refused; copy the file",
                            real.display()
                        ),
                    });
                }
                Ok(new.insert(map_file(&path)?))
            }
        }
    }
}

/// Model caches keep `snapshots/REVISION/file -> ../../blobs/HASH`: a link that stays in the cache entry is fine.
fn is_cache_link(real: &Path, home: &Path) -> bool {
    let entry = home
        .ancestors()
        .find(|a| a.file_name().is_some_and(|n| n == "snapshots"))
        .and_then(Path::parent);
    entry.is_some_and(|entry| real.starts_with(entry.join("blobs")))
}

fn wrong(proto: &TensorProto, detail: String) -> ImportError {
    ImportError::Tensor {
        category: Category::Input,
        tensor: proto.name.clone(),
        detail,
    }
}

/// Element type, shape and size in bytes of a constant.
fn layout(proto: &TensorProto) -> Result<(DType, Vec<usize>, usize), ImportError> {
    let dtype = dtype_of(proto.data_type).map_err(|(category, detail)| ImportError::Tensor {
        category,
        tensor: proto.name.clone(),
        detail,
    })?;
    let extent = |&d: &i64| {
        usize::try_from(d).map_err(|_| {
            wrong(
                proto,
                format!("dims {:?} hold a negative extent", proto.dims),
            )
        })
    };
    let shape = proto
        .dims
        .iter()
        .map(extent)
        .collect::<Result<Vec<usize>, _>>()?;
    let bytes = llmc_tensor::tensor::elements(&shape).and_then(|n| dtype.bytes_for(n));
    let bytes = bytes.ok_or_else(|| wrong(proto, format!("dims {:?} overflow", proto.dims)))?;
    Ok((dtype, shape, bytes))
}

/// The values of a constant that are in the message itself.
///
/// # Errors
/// Values elsewhere, values that do not fit type and dims, unknown element type.
pub fn inline_tensor(proto: &TensorProto) -> Result<Tensor, ImportError> {
    let (dtype, shape, _) = layout(proto)?;
    match proto.data_location {
        0 => inline(proto, dtype, shape).map_err(|e| wrong(proto, e.to_string())),
        1 => Err(wrong(
            proto,
            String::from("external data is allowed for initializers only"),
        )),
        other => Err(wrong(proto, format!("data location {other} is unknown"))),
    }
}

fn inline(proto: &TensorProto, dtype: DType, shape: Vec<usize>) -> Result<Tensor, TensorError> {
    if !proto.raw_data.is_empty() {
        return Tensor::new(dtype, shape, proto.raw_data.clone());
    }
    match dtype {
        DType::F32 => Tensor::from_slice(shape, &proto.float_data),
        DType::F64 => Tensor::from_slice(shape, &proto.double_data),
        DType::I64 => Tensor::from_slice(shape, &proto.int64_data),
        DType::U64 => Tensor::from_slice(shape, &proto.uint64_data),
        DType::U32 => {
            let values: Vec<u32> = proto.uint64_data.iter().map(|&v| v as u32).collect();
            Tensor::from_slice(shape, &values)
        }
        // Halves are stored as their bit patterns.
        DType::F16 | DType::Bf16 => {
            let bytes: Vec<u8> = proto
                .int32_data
                .iter()
                .flat_map(|&v| (v as u16).to_le_bytes())
                .collect();
            Tensor::new(dtype, shape, bytes)
        }
        // Packed types: each i32 holds one byte of packed elements; small floats are stored as their bit patterns.
        DType::I4
        | DType::U4
        | DType::I2
        | DType::U2
        | DType::F8E4m3
        | DType::F8E4m3Fnuz
        | DType::F8E5m2
        | DType::F8E5m2Fnuz
        | DType::F8E8m0
        | DType::F4E2m1 => {
            let bytes: Vec<u8> = proto.int32_data.iter().map(|&v| v as u8).collect();
            Tensor::new(dtype, shape, bytes)
        }
        DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32 | DType::Bool => {
            let values: Vec<i64> = proto.int32_data.iter().map(|&v| i64::from(v)).collect();
            Tensor::from_i64(dtype, shape, &values)
        }
    }
}
