// Generated from the rows in src/inst/rows.rs; LLMC_BLESS=1 cargo test -p llmc-isa rewrites it.
package isa_pkg;

  localparam int unsigned WORD_BITS = 512;

  typedef enum logic [7:0] {
    OP_CTL_LI = 8'h01,
    OP_CTL_ADDI = 8'h02,
    OP_CTL_MADD = 8'h03,
    OP_CTL_ADD = 8'h04,
    OP_CTL_SUB = 8'h05,
    OP_CTL_MUL = 8'h06,
    OP_CTL_MIN = 8'h07,
    OP_CTL_MAX = 8'h08,
    OP_CTL_DIV = 8'h09,
    OP_CTL_MOD = 8'h0a,
    OP_CTL_LAUNCH = 8'h0b,
    OP_CTL_CORE = 8'h0c,
    OP_CTL_LOOP = 8'h0d,
    OP_CTL_HALT = 8'h0e,
    OP_SEM_WAIT = 8'h10,
    OP_SEM_POST = 8'h11,
    OP_DMA_LOAD = 8'h20,
    OP_DMA_STORE = 8'h21,
    OP_DMA_PUSH = 8'h22,
    OP_DMA_GATHER = 8'h23,
    OP_DMA_SCATTER = 8'h24,
    OP_MXU_MM = 8'h30,
    OP_MXU_MMQ = 8'h31,
    OP_MXU_DRAIN = 8'h32,
    OP_VPU_UNARY = 8'h40,
    OP_VPU_BINARY = 8'h41,
    OP_VPU_FILL = 8'h42,
    OP_VPU_REDUCE = 8'h43,
    OP_VPU_INT = 8'h44,
    OP_VPU_SELECT = 8'h45,
    OP_VPU_QUANT = 8'h46,
    OP_ATT_INIT = 8'h50,
    OP_ATT_STEP = 8'h51,
    OP_ATT_ROUND = 8'h53,
    OP_ATT_FIN = 8'h52
  } opcode_e;

  typedef enum logic [7:0] {
    QUEUE_DMA0 = 8'h00,
    QUEUE_DMA1 = 8'h01,
    QUEUE_MXU = 8'h02,
    QUEUE_VPU = 8'h03,
    QUEUE_ATT = 8'h04
  } queue_e;

  typedef enum logic [7:0] {
    DTYPE_F32 = 8'h00,
    DTYPE_BF16 = 8'h01,
    DTYPE_F16 = 8'h02,
    DTYPE_F8E4M3 = 8'h03,
    DTYPE_F8E5M2 = 8'h04,
    DTYPE_I32 = 8'h05,
    DTYPE_I8 = 8'h06,
    DTYPE_U8 = 8'h07,
    DTYPE_I4 = 8'h08,
    DTYPE_I2 = 8'h09
  } dtype_e;

  typedef enum logic [7:0] {
    INDEXTYPE_I32 = 8'h00,
    INDEXTYPE_I64 = 8'h01
  } indextype_e;

  typedef enum logic [7:0] {
    SCOPE_LOCAL = 8'h00,
    SCOPE_ALL = 8'h01,
    SCOPE_CORE = 8'h02
  } scope_e;

  typedef enum logic [7:0] {
    UNARYFN_COPY = 8'h00,
    UNARYFN_NEG = 8'h01,
    UNARYFN_ABS = 8'h02,
    UNARYFN_EXP = 8'h03,
    UNARYFN_LOG = 8'h04,
    UNARYFN_SQRT = 8'h05,
    UNARYFN_RSQRT = 8'h06,
    UNARYFN_RECIP = 8'h07,
    UNARYFN_SIGMOID = 8'h08,
    UNARYFN_TANH = 8'h09,
    UNARYFN_SILU = 8'h0a,
    UNARYFN_RELU = 8'h0b,
    UNARYFN_GELU = 8'h0c,
    UNARYFN_ERF = 8'h0d,
    UNARYFN_SIN = 8'h0e,
    UNARYFN_COS = 8'h0f,
    UNARYFN_ROUND = 8'h10,
    UNARYFN_FLOOR = 8'h11,
    UNARYFN_CEIL = 8'h12,
    UNARYFN_TRUNC = 8'h13,
    UNARYFN_SIGN = 8'h14,
    UNARYFN_NOT = 8'h15,
    UNARYFN_ISNAN = 8'h16,
    UNARYFN_ISINF = 8'h17,
    UNARYFN_TAN = 8'h18,
    UNARYFN_ASIN = 8'h19,
    UNARYFN_ATAN = 8'h1a,
    UNARYFN_EXPM1 = 8'h1b,
    UNARYFN_LOG1P = 8'h1c
  } unaryfn_e;

  typedef enum logic [7:0] {
    BINARYFN_ADD = 8'h00,
    BINARYFN_SUB = 8'h01,
    BINARYFN_MUL = 8'h02,
    BINARYFN_DIV = 8'h03,
    BINARYFN_MIN = 8'h04,
    BINARYFN_MAX = 8'h05,
    BINARYFN_EQ = 8'h06,
    BINARYFN_NE = 8'h07,
    BINARYFN_LT = 8'h08,
    BINARYFN_LE = 8'h09,
    BINARYFN_AND = 8'h0a,
    BINARYFN_OR = 8'h0b,
    BINARYFN_XOR = 8'h0c,
    BINARYFN_POW = 8'h0d,
    BINARYFN_REM = 8'h0e,
    BINARYFN_MOD = 8'h0f
  } binaryfn_e;

  typedef enum logic [7:0] {
    INTFN_IADD = 8'h00,
    INTFN_ISUB = 8'h01,
    INTFN_IMUL = 8'h02,
    INTFN_IMIN = 8'h03,
    INTFN_IMAX = 8'h04,
    INTFN_ISHL = 8'h05,
    INTFN_ISHR = 8'h06,
    INTFN_IAND = 8'h07,
    INTFN_IOR = 8'h08,
    INTFN_IXOR = 8'h09,
    INTFN_IEQ = 8'h0a,
    INTFN_ILT = 8'h0b,
    INTFN_IDIV = 8'h0c,
    INTFN_IMOD = 8'h0d,
    INTFN_IQUO = 8'h0e,
    INTFN_IREM = 8'h0f,
    INTFN_ILSHR = 8'h10
  } intfn_e;

  typedef enum logic [7:0] {
    QUANTFN_QUANT = 8'h00,
    QUANTFN_QUANTZ = 8'h01,
    QUANTFN_DEQUANT = 8'h02,
    QUANTFN_DEQUANTZ = 8'h03
  } quantfn_e;

  typedef enum logic [7:0] {
    ACTFN_NONE = 8'h00,
    ACTFN_RELU = 8'h01,
    ACTFN_SILU = 8'h02,
    ACTFN_GELU = 8'h03
  } actfn_e;

  typedef enum logic [7:0] {
    REDUCEFN_SUM = 8'h00,
    REDUCEFN_MAXR = 8'h01,
    REDUCEFN_SUMSQ = 8'h02,
    REDUCEFN_MINR = 8'h03,
    REDUCEFN_ABSMAX = 8'h04,
    REDUCEFN_ARGMAX = 8'h05,
    REDUCEFN_PROD = 8'h06,
    REDUCEFN_ARGMIN = 8'h07
  } reducefn_e;

  // ctl.li
  typedef struct packed {
    logic [383:0] zero_16;
    logic [63:0] imm;
    logic [47:0] zero_2;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_li_t;

  // ctl.addi
  typedef struct packed {
    logic [383:0] zero_16;
    logic [63:0] imm;
    logic [39:0] zero_3;
    logic [7:0] ra;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_addi_t;

  // ctl.madd
  typedef struct packed {
    logic [383:0] zero_16;
    logic [63:0] imm;
    logic [31:0] zero_4;
    logic [7:0] rb;
    logic [7:0] ra;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_madd_t;

  // ctl.add
  typedef struct packed {
    logic [479:0] zero_4;
    logic [7:0] rb;
    logic [7:0] ra;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_add_t;

  // ctl.sub
  typedef struct packed {
    logic [479:0] zero_4;
    logic [7:0] rb;
    logic [7:0] ra;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_sub_t;

  // ctl.mul
  typedef struct packed {
    logic [479:0] zero_4;
    logic [7:0] rb;
    logic [7:0] ra;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_mul_t;

  // ctl.min
  typedef struct packed {
    logic [479:0] zero_4;
    logic [7:0] rb;
    logic [7:0] ra;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_min_t;

  // ctl.max
  typedef struct packed {
    logic [479:0] zero_4;
    logic [7:0] rb;
    logic [7:0] ra;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_max_t;

  // ctl.div
  typedef struct packed {
    logic [383:0] zero_16;
    logic [63:0] imm;
    logic [39:0] zero_3;
    logic [7:0] ra;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_div_t;

  // ctl.mod
  typedef struct packed {
    logic [383:0] zero_16;
    logic [63:0] imm;
    logic [39:0] zero_3;
    logic [7:0] ra;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_mod_t;

  // ctl.launch
  typedef struct packed {
    logic [479:0] zero_4;
    logic [15:0] index;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_launch_t;

  // ctl.core
  typedef struct packed {
    logic [495:0] zero_2;
    logic [7:0] rd;
    opcode_e opcode;
  } ctl_core_t;

  // ctl.loop
  typedef struct packed {
    logic [447:0] zero_8;
    logic [31:0] body;
    logic [15:0] zero_2;
    logic [7:0] count;
    opcode_e opcode;
  } ctl_loop_t;

  // ctl.halt
  typedef struct packed {
    logic [503:0] zero_1;
    opcode_e opcode;
  } ctl_halt_t;

  // sem.wait
  typedef struct packed {
    logic [463:0] zero_6;
    logic [15:0] n;
    logic [7:0] zero_3;
    logic [7:0] sem;
    logic [7:0] queue;
    opcode_e opcode;
  } sem_wait_t;

  // sem.post
  typedef struct packed {
    logic [415:0] zero_12;
    logic [31:0] core;
    logic [15:0] zero_6;
    logic [15:0] n;
    logic [7:0] scope;
    logic [7:0] sem;
    logic [7:0] queue;
    opcode_e opcode;
  } sem_post_t;

  // dma.load
  typedef struct packed {
    logic [63:0] zero_56;
    logic [31:0] bytes;
    logic [31:0] n2;
    logic [31:0] n1;
    logic [31:0] n0;
    logic [31:0] src_s2;
    logic [31:0] src_s1;
    logic [31:0] src_s0;
    logic [63:0] src;
    logic [31:0] dst_s2;
    logic [31:0] dst_s1;
    logic [31:0] dst_s0;
    logic [31:0] dst;
    logic [15:0] zero_2;
    logic [7:0] queue;
    opcode_e opcode;
  } dma_load_t;

  // dma.store
  typedef struct packed {
    logic [63:0] zero_56;
    logic [31:0] bytes;
    logic [31:0] n2;
    logic [31:0] n1;
    logic [31:0] n0;
    logic [31:0] src_s2;
    logic [31:0] src_s1;
    logic [31:0] src_s0;
    logic [31:0] src;
    logic [31:0] dst_s2;
    logic [31:0] dst_s1;
    logic [31:0] dst_s0;
    logic [63:0] dst;
    logic [15:0] zero_2;
    logic [7:0] queue;
    opcode_e opcode;
  } dma_store_t;

  // dma.push
  typedef struct packed {
    logic [31:0] zero_60;
    logic [31:0] core;
    logic [31:0] bytes;
    logic [31:0] n2;
    logic [31:0] n1;
    logic [31:0] n0;
    logic [31:0] zero_36;
    logic [31:0] src_s2;
    logic [31:0] src_s1;
    logic [31:0] src_s0;
    logic [31:0] src;
    logic [31:0] dst_s2;
    logic [31:0] dst_s1;
    logic [31:0] dst_s0;
    logic [31:0] dst;
    logic [7:0] zero_3;
    logic [7:0] scope;
    logic [7:0] queue;
    opcode_e opcode;
  } dma_push_t;

  // dma.gather
  typedef struct packed {
    logic [191:0] zero_40;
    logic [31:0] rows;
    logic [31:0] bytes;
    logic [31:0] row_stride;
    logic [63:0] table;
    logic [31:0] count;
    logic [31:0] index;
    logic [31:0] dst_s0;
    logic [31:0] dst;
    logic [7:0] zero_3;
    logic [7:0] index_type;
    logic [7:0] queue;
    opcode_e opcode;
  } dma_gather_t;

  // dma.scatter
  typedef struct packed {
    logic [191:0] zero_40;
    logic [31:0] rows;
    logic [31:0] bytes;
    logic [31:0] row_stride;
    logic [63:0] table;
    logic [31:0] count;
    logic [31:0] index;
    logic [31:0] src_s0;
    logic [31:0] src;
    logic [7:0] zero_3;
    logic [7:0] index_type;
    logic [7:0] queue;
    opcode_e opcode;
  } dma_scatter_t;

  // mxu.mm
  typedef struct packed {
    logic [191:0] zero_40;
    logic [31:0] k;
    logic [31:0] n;
    logic [31:0] m;
    logic [31:0] b_panel_stride;
    logic [31:0] b;
    logic [31:0] a_s0;
    logic [31:0] a;
    logic [31:0] dst_s0;
    logic [31:0] dst;
    logic [7:0] acc;
    logic [7:0] b_type;
    logic [7:0] a_type;
    opcode_e opcode;
  } mxu_mm_t;

  // mxu.mmq
  typedef struct packed {
    logic [7:0] zeros;
    logic [7:0] acc;
    logic [15:0] group;
    logic [31:0] k;
    logic [31:0] n;
    logic [31:0] m;
    logic [31:0] zero_panel_stride;
    logic [31:0] zero;
    logic [31:0] scale_panel_stride;
    logic [31:0] scale;
    logic [31:0] b_panel_stride;
    logic [31:0] b;
    logic [31:0] a_scale;
    logic [31:0] a_s0;
    logic [31:0] a;
    logic [31:0] dst_s0;
    logic [31:0] dst;
    logic [7:0] scale_type;
    logic [7:0] b_type;
    logic [7:0] a_type;
    opcode_e opcode;
  } mxu_mmq_t;

  // mxu.drain
  typedef struct packed {
    logic [215:0] zero_37;
    logic [7:0] scaled;
    logic [31:0] n;
    logic [31:0] m;
    logic [31:0] scale;
    logic [31:0] bias;
    logic [31:0] src_s0;
    logic [31:0] src;
    logic [31:0] dst_s0;
    logic [31:0] dst;
    logic [7:0] biased;
    logic [7:0] act;
    logic [7:0] dst_type;
    opcode_e opcode;
  } mxu_drain_t;

  // vpu.copy vpu.neg vpu.abs vpu.exp vpu.log vpu.sqrt vpu.rsqrt vpu.recip vpu.sigmoid vpu.tanh vpu.silu vpu.relu vpu.gelu vpu.erf vpu.sin vpu.cos vpu.round vpu.floor vpu.ceil vpu.trunc vpu.sign vpu.not vpu.isnan vpu.isinf vpu.tan vpu.asin vpu.atan vpu.expm1 vpu.log1p
  typedef struct packed {
    logic [31:0] n2;
    logic [31:0] n1;
    logic [31:0] n0;
    logic [31:0] bias;
    logic [31:0] scale;
    logic [111:0] zero_30;
    logic [103:0] a;
    logic [103:0] dst;
    logic [15:0] zero_2;
    logic [7:0] op;
    opcode_e opcode;
  } vpu_unary_t;

  // vpu.add vpu.sub vpu.mul vpu.div vpu.min vpu.max vpu.eq vpu.ne vpu.lt vpu.le vpu.and vpu.or vpu.xor vpu.pow vpu.rem vpu.mod
  typedef struct packed {
    logic [31:0] n2;
    logic [31:0] n1;
    logic [31:0] n0;
    logic [71:0] zero_43;
    logic [103:0] b;
    logic [103:0] a;
    logic [103:0] dst;
    logic [15:0] zero_2;
    logic [7:0] op;
    opcode_e opcode;
  } vpu_binary_t;

  // vpu.fill
  typedef struct packed {
    logic [31:0] n2;
    logic [31:0] n1;
    logic [31:0] n0;
    logic [31:0] zero_48;
    logic [31:0] value;
    logic [215:0] zero_17;
    logic [103:0] dst;
    logic [23:0] zero_1;
    opcode_e opcode;
  } vpu_fill_t;

  // vpu.sum vpu.maxr vpu.sumsq vpu.minr vpu.absmax vpu.argmax vpu.prod vpu.argmin
  typedef struct packed {
    logic [31:0] n2;
    logic [31:0] n1;
    logic [31:0] n0;
    logic [175:0] zero_30;
    logic [103:0] a;
    logic [103:0] dst;
    logic [15:0] zero_2;
    logic [7:0] op;
    opcode_e opcode;
  } vpu_reduce_t;

  // vpu.iadd vpu.isub vpu.imul vpu.imin vpu.imax vpu.ishl vpu.ishr vpu.iand vpu.ior vpu.ixor vpu.ieq vpu.ilt vpu.idiv vpu.imod vpu.iquo vpu.irem vpu.ilshr
  typedef struct packed {
    logic [31:0] n2;
    logic [31:0] n1;
    logic [31:0] n0;
    logic [71:0] zero_43;
    logic [103:0] b;
    logic [103:0] a;
    logic [103:0] dst;
    logic [15:0] zero_2;
    logic [7:0] op;
    opcode_e opcode;
  } vpu_int_t;

  // vpu.select
  typedef struct packed {
    logic [31:0] n2;
    logic [31:0] n1;
    logic [23:0] n0;
    logic [103:0] mask;
    logic [103:0] b;
    logic [103:0] a;
    logic [103:0] dst;
    opcode_e opcode;
  } vpu_select_t;

  // vpu.quant vpu.quantz vpu.dequant vpu.dequantz
  typedef struct packed {
    logic [31:0] n2;
    logic [23:0] n1;
    logic [23:0] n0;
    logic [7:0] op;
    logic [103:0] zero;
    logic [103:0] scale;
    logic [103:0] a;
    logic [103:0] dst;
    opcode_e opcode;
  } vpu_quant_t;

  // att.init
  typedef struct packed {
    logic [351:0] zero_20;
    logic [31:0] sink;
    logic [15:0] zero_14;
    logic [15:0] d;
    logic [31:0] rows;
    logic [31:0] state;
    logic [15:0] heads;
    logic [7:0] sinks;
    opcode_e opcode;
  } att_init_t;

  // att.step
  typedef struct packed {
    logic [31:0] kv_first;
    logic [31:0] softcap;
    logic [31:0] scale;
    logic [31:0] kv_pos;
    logic [31:0] q_pos;
    logic [7:0] kv_type;
    logic [15:0] d;
    logic [23:0] window;
    logic [23:0] kv;
    logic [23:0] v_s0;
    logic [23:0] k_s0;
    logic [23:0] q_s1;
    logic [23:0] q_s0;
    logic [23:0] rows;
    logic [31:0] v;
    logic [31:0] k;
    logic [31:0] q;
    logic [31:0] state;
    logic [15:0] heads;
    logic [7:0] causal;
    opcode_e opcode;
  } att_step_t;

  // att.round
  typedef struct packed {
    logic [31:0] kv_first;
    logic [23:0] zero_57;
    logic [7:0] weigh;
    logic [31:0] by;
    logic [31:0] kv_pos;
    logic [31:0] q_pos;
    logic [7:0] kv_type;
    logic [15:0] d;
    logic [23:0] window;
    logic [23:0] kv;
    logic [23:0] v_s0;
    logic [23:0] k_s0;
    logic [23:0] q_s1;
    logic [23:0] q_s0;
    logic [23:0] rows;
    logic [31:0] v;
    logic [31:0] k;
    logic [31:0] q;
    logic [31:0] state;
    logic [15:0] heads;
    logic [7:0] causal;
    opcode_e opcode;
  } att_round_t;

  // att.fin
  typedef struct packed {
    logic [303:0] zero_26;
    logic [15:0] d;
    logic [31:0] rows;
    logic [31:0] state;
    logic [31:0] dst_s1;
    logic [31:0] dst_s0;
    logic [31:0] dst;
    logic [15:0] heads;
    logic [7:0] weighed;
    opcode_e opcode;
  } att_fin_t;

endpackage
