//! Layers of `h = h + w * past`, which give `present = concat(past, h)`.

use super::*;
use crate::import::outline::outline;
use crate::import::proto::{
    AttributeProto, DimensionProto, TensorShapeProto, TensorTypeProto, TypeProto,
};
use prost::Message;

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: vec![output.to_string()],
        name: output.to_string(),
        op_type: op.to_string(),
        ..NodeProto::default()
    }
}

fn weight(name: &str, values: &[f32]) -> TensorProto {
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: 1,
        float_data: values.to_vec(),
        name: name.to_string(),
        ..TensorProto::default()
    }
}

fn port(name: &str) -> ValueInfoProto {
    let dim = [
        DimValue::Param(format!("length of {name}")),
        DimValue::Value(4),
    ];
    let dim = dim.map(|value| DimensionProto { value: Some(value) });
    let tensor = TensorTypeProto {
        elem_type: 1,
        shape: Some(TensorShapeProto { dim: dim.to_vec() }),
    };
    ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto {
            kind: Some(TypeKind::Tensor(tensor)),
        }),
    }
}

/// Leaves out what repeats.
fn shorten(graph: &mut GraphProto) -> Option<Shortened> {
    let model = ModelProto {
        producer_name: "test".to_string(),
        graph: Some(graph.clone()),
        ..ModelProto::default()
    };
    let (proto, nodes) = outline(&model.encode_to_vec().into())?;
    let (short, shortened) = super::shortened(proto, nodes)?;
    assert_eq!(short.producer_name, "test");
    *graph = short.graph?;
    Some(shortened)
}

/// A graph of so many layers, with a node before them and one after.
fn layers(n: usize) -> GraphProto {
    let mut graph = GraphProto {
        input: vec![port("x")],
        ..GraphProto::default()
    };
    graph.node.push(node("Neg", &["x"], "h0"));
    for i in 0..n {
        let name = |what: &str| format!("{what}{i}");
        let (w, one, past) = (name("w"), name("one"), name("past"));
        let (scaled, more, present) = (name("scaled"), name("more"), name("present"));
        let (h, next) = (name("h"), format!("h{}", i + 1));
        graph.initializer.push(weight(&w, &[i as f32, 1.0]));
        graph.initializer.push(weight(&one, &[1.0]));
        graph.input.push(port(&past));
        graph.node.push(node("Mul", &[&past, &w], &scaled));
        graph.node.push(node("Mul", &[&scaled, &one], &more));
        graph.node.push(node("Add", &[&h, &more], &next));
        graph.node.push(node("Concat", &[&past, &next], &present));
        graph.output.push(port(&present));
    }
    graph.node.push(node("Exp", &[&format!("h{n}")], "logits"));
    graph.output.push(port("logits"));
    graph
}

/// The names of what the nodes make.
fn made(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().map(|n| n.name.as_str()).collect()
}

fn is_whole(mut graph: GraphProto, change: impl FnOnce(&mut GraphProto)) {
    change(&mut graph);
    let before = graph.clone();
    assert!(shorten(&mut graph).is_none(), "{:?}", made(&graph));
    assert!(graph == before);
}

#[test]
fn layers_like_those_before_are_left_out() {
    let mut graph = layers(6);
    let shortened = shorten(&mut graph).unwrap();
    // The first layer, which begins elsewhere, stays beside the two that show what repeats.
    let kept = made(&graph);
    assert!(
        !kept.contains(&"scaled3") && kept.contains(&"scaled0"),
        "{kept:?}"
    );
    assert_eq!(kept.len(), 1 + 4 * (6 - shortened.turns) + 1);
    assert_eq!(graph.input.len(), 1 + 6 - shortened.turns);
    assert_eq!(graph.output.len(), 6 - shortened.turns + 1);
    // What follows the layers takes what the last one that stays makes.
    let last = kept.iter().rev().find(|n| n.starts_with('h')).unwrap();
    assert_eq!(graph.node.last().unwrap().input, [*last]);

    let rest = shortened.turns;
    let [constants] = &shortened.constants[..] else {
        panic!("equal numbers are one: {:?}", shortened.constants);
    };
    assert_eq!(constants.rest.len(), rest);
    assert_eq!(constants.rest[0].name, "w3");
    assert_eq!(constants.kept, ["w1", "w2"]);
    assert_eq!(shortened.inputs[0].rest[0], "past3");
    assert_eq!(shortened.outputs[0].kept, ["present1", "present2"]);
    assert_eq!(shortened.carried, [["h2", "h3"].map(String::from)]);
    // The weight of the first layer is no more looked at than those of the others.
    assert!(
        ["w0", "w1", "w2"]
            .iter()
            .all(|w| shortened.hidden.contains(*w))
    );
    assert!(!shortened.hidden.contains("one1"));
}

#[test]
fn the_shape_of_a_cache_left_out_is_that_of_one_that_stays() {
    let mut graph = layers(6);
    graph.node.insert(0, node("Shape", &["past5"], "length"));
    shorten(&mut graph).unwrap();
    assert_eq!(graph.node[0].input, ["past2"]);
}

#[test]
fn what_differs_stays() {
    is_whole(layers(2), |_| {});
    let attribute = AttributeProto {
        name: "axis".to_string(),
        i: 1,
        r#type: 2,
        ..AttributeProto::default()
    };
    // One layer in the middle is another one, in an attribute, an operand, or the type of a weight.
    is_whole(layers(5), |g| g.node[12].attribute = vec![attribute]);
    is_whole(layers(5), |g| g.node[11].input[0] = "h0".to_string());
    is_whole(layers(5), |g| g.initializer[4] = weight("w2", &[1.0; 3]));
    // Something after the layers reads of an early one, or the past of one that is not the first.
    is_whole(layers(6), |g| g.node[25].input[0] = "h2".to_string());
    is_whole(layers(6), |g| g.node[25].input[0] = "past4".to_string());
    // An output of the first layers only.
    is_whole(layers(6), |g| g.output.push(port("more1")));
}

#[test]
fn what_reads_inside_of_a_layer_left_out_reads_nothing() {
    let mut graph = layers(6);
    graph.node[25].input[0] = "more3".to_string();
    shorten(&mut graph).unwrap();
    assert!(!made(&graph).contains(&"more3"));
    assert_eq!(graph.node.last().unwrap().input, ["more3"]);
}
