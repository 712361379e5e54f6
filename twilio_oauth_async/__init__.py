"""Asyncio client for Twilio's OAuth API."""
