"""Speculative decoding: tokens that are drafted, then verified in one step.

A draft is put into the batch behind the sequence's newest token. At each position the
sampler draws a token as it would without the draft; the draft is accepted up to the
first difference. So all tokens come from the target model's distribution, greedy or
not. It is the acceptance rule of Leviathan et al., "Fast Inference from Transformers
via Speculative Decoding", 2023, for a draft that gives its tokens probability 1: a
token is accepted with its probability in the target's distribution, else another is
drawn from the rest, which together is one draw from the target's distribution.
llama.cpp does the same (``common_sampler_sample_and_accept_n`` in common/sampling.cpp).

The modules here know only tokens and times, no sequence and no model.
"""
