"""Purchases at CDNOW, an online music shop, by those who first bought in early 1997: will a customer buy again?"""
