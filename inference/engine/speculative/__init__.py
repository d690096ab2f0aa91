"""Speculative decoding: tokens that are drafted, then verified in one step.

A draft is put into the batch behind the sequence's newest token. At each of its
places the sampler draws a token as it would have without the draft; the draft counts
up to the first place where the two differ. So nothing is drawn from any distribution
but the target model's, greedy or not. It is the acceptance rule of Leviathan et al.,
"Fast Inference from Transformers via Speculative Decoding", 2023, for a draft that
gives its tokens probability 1: a token is kept with the probability that the target
gives it, else the target's distribution without it is drawn from, which is one draw
from the target's. llama.cpp does the same
(``common_sampler_sample_and_accept_n`` in common/sampling.cpp).

The modules here know tokens and times only, no sequence and no model.
"""
