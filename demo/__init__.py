"""The demo shop: products, customers, orders and visits, all generated."""
