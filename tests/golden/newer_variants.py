# Variants for make_golden.py --variants under transformers 5: rope_parameters in config.json. Fixtures in newer_models/.
FIRST_SEED = 9000
SCALED = dict(rope_type="llama3", rope_theta=5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
VARIANTS = [
    Variant("llama_v5", "llama", "rope_parameters of type default with a base of its own", (2, 14),
            base(32, 4, 2, 2, 48, 96, 64, rope_parameters=dict(rope_type="default", rope_theta=500.0))),
    Variant("llama3_v5", "llama", "rope_parameters of type llama3", (2, 24),
            base(32, 4, 2, 2, 48, 96, 64, rope_parameters=SCALED)),
    Variant("qwen3_v5", "qwen3", "rope_parameters of type linear, bf16", (2, 12),
            base(36, 3, 1, 2, 40, 96, 64, head_dim=14,
                 rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=2.0)), dtype=BF16),
    Variant("phi4_mini_v5", "phi3", "rope_parameters of type longrope, partial rotation, long", (1, 40),
            base(32, 4, 2, 2, 48, 96, 128, original_max_position_embeddings=32, partial_rotary_factor=0.75,
                 rope_parameters=dict(longrope(3, 0.1, 0.7), rope_type="longrope", rope_theta=1e4))),
    Variant("gemma3_v5", "gemma3", "rope_parameters for each kind of layer, the global one linear", (1, 20),
            base(24, 2, 1, 7, 32, 80, 64, head_dim=12, query_pre_attn_scalar=12, sliding_window=6,
                 rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                                      sliding_attention=dict(rope_type="default", rope_theta=1e4)))),
]
